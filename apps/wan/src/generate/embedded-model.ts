import { resolve } from "node:path";

/** The checkpoint that comes with wan-ts. */
export const embeddedModel = resolve(import.meta.dir, "../../../../models/wan-tiny");
