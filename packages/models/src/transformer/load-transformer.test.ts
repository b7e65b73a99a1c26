import { describe, expect, test } from "bun:test";
import { memory, scope, synchronizeBlocking, Tensor } from "@wan-ts/tensor";
import { kernelDispatcher } from "../testing/kernel-attention.ts";
import { readFixture } from "../testing/read-fixture.ts";
import { parseTransformerConfig } from "./config.ts";
import { loadTransformer, transformerAttentionRequests } from "./load-transformer.ts";

const fixture = readFixture("transformer-image-to-video");
const config = parseTransformerConfig(fixture.config, "config.json");
const load = (changes: Record<string, Tensor | undefined>) =>
  loadTransformer(config, fixture.checkpoint(changes), { dtype: "float32", attention: kernelDispatcher() });

describe("loadTransformer", () => {
  test("passes over the norm of image queries that published checkpoints hold", () => {
    scope(() => {
      load({ "blocks.1.attn2.norm_added_q.weight": Tensor.zeros([24]) }).dispose();
    });
  });

  test("refuses a checkpoint with missing, unexpected and misfitting tensors, and frees what it had", () => {
    scope(() => {
      synchronizeBlocking();
      const before = memory().liveStorages;
      const changes = {
        "patch_embedding.bias": undefined,
        "blocks.2.norm2.weight": Tensor.zeros([24]),
        "proj_out.bias": Tensor.zeros([11]),
      };
      expect(() => load(changes)).toThrow(
        "patch_embedding.bias [24] is missing; proj_out.bias is [11], expected [12]; " +
          "blocks.2.norm2.weight [24] is unexpected",
      );
      for (const tensor of Object.values(changes)) tensor?.dispose();
      synchronizeBlocking();
      expect(memory().liveStorages).toBe(before);
    });
  });
});

describe("transformerAttentionRequests", () => {
  test("asks for the head size of the config, without mask and log-sum-exp", () => {
    expect(transformerAttentionRequests(config, "bfloat16", "cpu")).toEqual([
      { device: "cpu", dtype: "bfloat16", headDim: 8, mask: false, logSumExp: false },
    ]);
  });
});
