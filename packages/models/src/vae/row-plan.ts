import type { ModuleNode, RowConvolution, RowPlan, RowRegion } from "@wan-ts/nn";
import { DispatchedAttention } from "../dispatched-attention.ts";
import { CausalConv3d } from "./causal-conv3d.ts";
import { SpatialConv } from "./spatial-conv.ts";
import type { WanVae } from "./wan-vae.ts";

/** Splits what a plan names of a module tree by rows; returns the undo. */
export type RowSplitter = (root: ModuleNode, plan: RowPlan) => () => void;

/**
 * How a VAE's frames can be computed in parts of rows. A row of latents is as many rows of what the
 * encoder takes and the decoder gives as one latent pixel stands for, patches counted as pixels; norms
 * and shortcuts keep to it, and the middle blocks' attention sees all rows.
 */
export function vaeRowPlan(vae: WanVae): RowPlan {
  const rows = vae.config.scaleFactorSpatial / (vae.config.patchSize ?? 1);
  const named = [...vae.namedModules()];
  const region = (module: string, inputRows: number, outputRows: number): RowRegion => {
    const within = named.filter(([name]) => name.startsWith(`${module}.`));
    return {
      module,
      inputRows,
      outputRows,
      convolutions: within.flatMap(([name, layer]) => rowConvolution(name, layer) ?? []),
      attentions: within.flatMap(([name, layer]) => (layer instanceof DispatchedAttention ? [name] : [])),
    };
  };
  return [region("encoder", rows, 1), region("decoder", 1, rows)];
}

/** What a convolution needs of other rows; undefined for other layers, and for a kernel of one row. */
function rowConvolution(module: string, layer: ModuleNode): RowConvolution | undefined {
  if (layer instanceof CausalConv3d) {
    const [, kernel] = layer.kernel;
    const [padding] = layer.spatialPadding;
    return kernel > 1 ? { module, kernel, stride: 1, padding } : undefined;
  }
  return layer instanceof SpatialConv ? { module, ...layer.settings } : undefined;
}
