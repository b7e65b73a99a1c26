import { type DType, scope, type Tensor } from "@wan-ts/tensor";
import { parseTransformerConfig } from "../transformer/config.ts";
import { loadTransformer } from "../transformer/load-transformer.ts";
import type { TransformerContext } from "../transformer/transformer-context.ts";
import type { TransformerInput, WanTransformer } from "../transformer/wan-transformer.ts";
import { kernelDispatcher } from "./kernel-attention.ts";
import { type Fixture, readFixture } from "./read-fixture.ts";

/** A fixture's transformer in a dtype, and the inputs that diffusers had. */
export interface FixtureTransformer extends Disposable {
  readonly fixture: Fixture;
  readonly model: WanTransformer;
  readonly context: TransformerContext;
  /** Arguments of a forward pass, with a time per sample. */
  readonly input: TransformerInput;
}

/** Loads `fixtures/<name>.safetensors`. */
export function fixtureTransformer(name: string, dtype: DType): FixtureTransformer {
  const fixture = readFixture(name);
  const config = parseTransformerConfig(fixture.config, name);
  const model = loadTransformer(config, fixture.checkpoint(), { dtype, attention: kernelDispatcher() });
  const input = (key: string): Tensor => scope(() => fixture.tensor(`inputs/${key}`).to(dtype));
  const hiddenStates = input("hidden_states");
  const context = scope(() =>
    model.prepareContext({
      encoderHiddenStates: input("encoder_hidden_states"),
      encoderHiddenStatesImage: fixture.has("inputs/encoder_hidden_states_image")
        ? input("encoder_hidden_states_image")
        : undefined,
    }),
  );
  using timestep = fixture.tensor("inputs/timestep");
  return {
    fixture,
    model,
    context,
    input: { hiddenStates, timestep: [...timestep.floatsBlocking()], context },
    [Symbol.dispose]() {
      hiddenStates.dispose();
      context.dispose();
      model.dispose();
    },
  };
}
