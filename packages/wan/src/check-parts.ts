import type { TransformerConfig } from "@wan-ts/models";
import type { WanCheckpoint } from "./checkpoint.ts";
import { CheckpointError } from "./errors.ts";

/**
 * Refuses parts whose widths don't meet: each is right by itself, and the first product would fail.
 *
 * @throws {CheckpointError} that names the part, its key and the other part's.
 */
export function checkParts(checkpoint: WanCheckpoint): void {
  const { directory, transformer, textEncoder, vae } = checkpoint;
  const expect = expecting(directory.component("transformer").folder);
  expect("out_channels", transformer.outChannels, vae.zDim, "the VAE's z_dim");
  expect("text_dim", transformer.textDim, textEncoder.dModel, "the text encoder's d_model");
  expect("in_channels", transformer.inChannels, ...inputChannels(checkpoint));
  checkImageParts(checkpoint, expect);
  checkExperts(checkpoint);
}

type Expectation = (
  key: string,
  found: number | string | null,
  expected: number | string | null,
  reason: string,
) => void;

function expecting(folder: string): Expectation {
  return (key, found, expected, reason) => {
    if (found !== expected) throw new CheckpointError(folder, `${key} ${expected}, ${reason}`, `${found}`);
  };
}

/** What the transformer sees of a latent pixel: the latents, and for image to video mask and condition. */
function inputChannels({ task, expandTimesteps, vae }: WanCheckpoint): [channels: number, reason: string] {
  return task === "textToVideo" || expandTimesteps
    ? [vae.zDim, "the VAE's z_dim"]
    : [2 * vae.zDim + vae.scaleFactorTemporal, "latents, mask and condition"];
}

function checkImageParts(checkpoint: WanCheckpoint, expect: Expectation): void {
  const { directory, task, expandTimesteps, transformer, imageEncoder } = checkpoint;
  if (expandTimesteps) {
    expect("image_dim", transformer.imageDim, null, "as an image is the first latent frame");
    expect("patch_size[0]", transformer.patchSize[0], 1, "as an image is one latent frame");
  } else if (task === "textToVideo") {
    expect("image_dim", transformer.imageDim, null, "as text to video has no image");
  }
  if (!imageEncoder) return;
  const { hiddenSize, imageSize, patchSize } = imageEncoder.encoder;
  const { centerCrop, resize } = imageEncoder.preprocessor;
  const prepared = centerCrop ?? (resize && "width" in resize.size ? resize.size : undefined);
  if (prepared && (prepared.width !== imageSize || prepared.height !== imageSize)) {
    throw new CheckpointError(
      directory.component("imageProcessor").folder,
      `images of ${imageSize} × ${imageSize}, the image encoder's image_size`,
      `${prepared.width} × ${prepared.height}`,
    );
  }
  expect("image_dim", transformer.imageDim, hiddenSize, "the image encoder's hidden_size");
  if (transformer.posEmbedSeqLen === null) return;
  // A class token, then the patches of a square.
  const tokens = 1 + Math.floor(imageSize / patchSize) ** 2;
  expect(
    "pos_embed_seq_len",
    transformer.posEmbedSeqLen,
    2 * tokens,
    "the image encoder's tokens of two images",
  );
}

/** Keys that decide what goes into a transformer and what comes out. */
const sharedKeys = {
  in_channels: (config: TransformerConfig) => config.inChannels,
  out_channels: (config: TransformerConfig) => config.outChannels,
  text_dim: (config: TransformerConfig) => config.textDim,
  image_dim: (config: TransformerConfig) => config.imageDim,
  pos_embed_seq_len: (config: TransformerConfig) => config.posEmbedSeqLen,
  patch_size: (config: TransformerConfig) => `[${config.patchSize}]`,
};

/** Two experts work on the same latents and embeddings. */
function checkExperts({ directory, transformer, lowNoiseExpert }: WanCheckpoint): void {
  if (!lowNoiseExpert) return;
  const expect = expecting(directory.component("transformer2").folder);
  for (const [key, value] of Object.entries(sharedKeys)) {
    expect(key, value(lowNoiseExpert.transformer), value(transformer), "as in transformer");
  }
}
