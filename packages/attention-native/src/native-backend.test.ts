import { describeConformance } from "@wan-ts/attention/conformance/bun-test";
import { NativeAttentionBackend } from "./native-backend.ts";

describeConformance(new NativeAttentionBackend());
