import { describe, expect, test } from "bun:test";
import {
  loadClipVisionEncoder,
  loadTransformer,
  loadUmt5Encoder,
  loadVae,
  parseClipVisionConfig,
  parseTransformerConfig,
  parseUmt5Config,
  parseVaeConfig,
} from "@wan-ts/models";
import { concatenate, type DType, scope, type Tensor } from "@wan-ts/tensor";
import { relativeDistance } from "@wan-ts/test/fixture-cases.ts";
import { deviceAttention, deviceFixture } from "./device-fixture.ts";
import { expectNothingLeft } from "./free-of-leaks.ts";
import { testDevice } from "./test-device.ts";
import { modelTolerance } from "./tolerances.ts";

const device = testDevice();
expectNothingLeft();

/** Compares a result with what diffusers or transformers gave. */
function expectNear(found: Tensor, wanted: Tensor, dtype: DType): void {
  expect(found.device).toBe(device);
  const limit = modelTolerance[dtype] ?? 0;
  expect(relativeDistance(found.floatsBlocking(), wanted.floatsBlocking())).toBeLessThan(limit);
}

describe.each(["float32", "bfloat16"] as const)(`models on ${device} in %s`, (dtype) => {
  const attention = () => deviceAttention(device, dtype);

  test.each(["transformer-text-to-video", "transformer-image-to-video", "transformer-first-last-frame"])(
    "%s",
    (name) => {
      const fixture = deviceFixture(name, device);
      const config = parseTransformerConfig(fixture.config, name);
      scope(() => {
        using model = loadTransformer(config, fixture.checkpoint(), { dtype, attention: attention() });
        const input = (key: string): Tensor => fixture.tensor(`inputs/${key}`).to(dtype);
        using context = model.prepareContext({
          encoderHiddenStates: input("encoder_hidden_states"),
          encoderHiddenStatesImage: fixture.has("inputs/encoder_hidden_states_image")
            ? input("encoder_hidden_states_image")
            : undefined,
        });
        const timestep = [...fixture.tensor("inputs/timestep").floatsBlocking()];
        const output = model.call({ hiddenStates: input("hidden_states"), timestep, context });
        expectNear(output, fixture.tensor(`${dtype}/output.0`), dtype);
      });
    },
  );

  test("text encoder", () => {
    const fixture = deviceFixture("umt5", device);
    const config = parseUmt5Config(fixture.config, "umt5");
    scope(() => {
      using encoder = loadUmt5Encoder(config, fixture.checkpoint(), { dtype, attention: attention() });
      const [inputIds, attentionMask] = ["input_ids", "attention_mask"].map((key) =>
        fixture.tensor(`inputs/${key}`),
      ) as [Tensor, Tensor];
      const output = encoder.call({ inputIds, attentionMask });
      expectNear(output, fixture.tensor(`${dtype}/output.0`), dtype);
    });
  });

  test.each(["clip-vision", "clip-vision-projection"])("image encoder: %s", (name) => {
    const fixture = deviceFixture(name, device);
    const config = parseClipVisionConfig(fixture.config, name);
    scope(() => {
      using encoder = loadClipVisionEncoder(config, fixture.checkpoint(), { dtype, attention: attention() });
      const pixelValues = fixture.tensor("inputs/pixel_values").to(dtype);
      expectNear(encoder.call({ pixelValues }), fixture.tensor(`${dtype}/output.0`), dtype);
    });
  });

  test.each(["vae", "vae-residual"])("%s, encoding and decoding", (name) => {
    const weights = deviceFixture(`${name}-weights`, device);
    const config = parseVaeConfig(weights.config, name);
    const encoding = deviceFixture(`${name}-encode`, device);
    const decoding = deviceFixture(`${name}-decode`, device);
    scope(() => {
      using vae = loadVae(config, weights.checkpoint(), { dtype, attention: attention() });
      const { mean, logVariance } = vae.encode({ video: encoding.tensor("video").to(dtype) });
      expectNear(concatenate([mean, logVariance], 1), encoding.tensor("moments"), dtype);
      const frames = vae.decode({ latents: decoding.tensor("latents").to(dtype) });
      expectNear(frames, decoding.tensor("frames"), dtype);
    });
  });
});
