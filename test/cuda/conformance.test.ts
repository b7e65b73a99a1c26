import { describeConformance } from "@wan-ts/attention/conformance/bun-test";
import { CudaAttentionBackend } from "@wan-ts/attention-native";
import { testDevice } from "./test-device.ts";

describeConformance(new CudaAttentionBackend(), { device: testDevice() });
