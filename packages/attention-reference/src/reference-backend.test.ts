import { describeConformance } from "@wan-ts/attention/conformance/bun-test";
import { ReferenceAttentionBackend } from "./reference-backend.ts";

describeConformance(new ReferenceAttentionBackend());
