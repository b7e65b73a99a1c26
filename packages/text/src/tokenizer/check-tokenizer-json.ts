import { z } from "zod";
import { charsmapFault } from "./check-charsmap.ts";
import { TokenizerFileError } from "./tokenizer-file-error.ts";

/**
 * A normalizer or post-processor; a sequence holds others. Where the native tokenizer doesn't know the type, it takes
 * the part for what its keys fit, so that keys are asked here too.
 */
const part = z.looseObject({
  type: z.string(),
  normalizers: z.array(z.unknown()).optional(),
  processors: z.array(z.unknown()).optional(),
});
const precompiled = z.object({ precompiled_charsmap: z.string() });
const piece = z.object({ SpecialToken: z.object({ id: z.string() }).optional() });
const template = z.object({
  single: z.array(piece),
  pair: z.array(piece),
  special_tokens: z.record(z.string(), z.unknown()),
});
const tokenizerJson = z.object({
  normalizer: z.unknown().optional(),
  post_processor: z.unknown().optional(),
});

/**
 * Checks the parts of a tokenizer.json at whose faults the native tokenizer ends the process instead of failing.
 *
 * @returns the same JSON for the native tokenizer, with each key once: where a key stands twice, the native parser
 * may take another of its values than was checked
 * @throws TokenizerFileError naming the file and the fault
 */
export function checkTokenizerJson(text: string, file: string): string {
  const invalid = (reason: string, options?: ErrorOptions): TokenizerFileError =>
    new TokenizerFileError("TOKENIZER_FILE_INVALID", file, reason, options);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalid("isn't JSON", { cause });
  }
  let fault: string | null;
  try {
    fault = tokenizerJsonFault(json);
    if (fault === null) return JSON.stringify(json);
  } catch (cause) {
    // What is left of the stack decides how deep is too deep, here and in JSON.stringify.
    if (cause instanceof RangeError) throw invalid("is nested too deeply", { cause });
    throw cause;
  }
  throw invalid(fault);
}

function tokenizerJsonFault(json: unknown): string | null {
  const parsed = tokenizerJson.safeParse(json);
  if (!parsed.success) return "isn't a JSON object";
  return normalizerFault(parsed.data.normalizer) ?? postProcessorFault(parsed.data.post_processor);
}

function firstFault(parts: readonly unknown[], fault: (one: unknown) => string | null): string | null {
  for (const one of parts) {
    const found = fault(one);
    if (found !== null) return found;
  }
  return null;
}

function normalizerFault(json: unknown): string | null {
  if (json === null || json === undefined) return null;
  const normalizer = part.safeParse(json);
  if (!normalizer.success) return "has a normalizer without a type";
  if (normalizer.data.normalizers !== undefined) {
    return firstFault(normalizer.data.normalizers, normalizerFault);
  }
  if (normalizer.data.type !== "Precompiled" && !("precompiled_charsmap" in normalizer.data)) return null;
  const charsmap = precompiled.safeParse(json);
  if (!charsmap.success) return "has a normalizer Precompiled without precompiled_charsmap";
  const fault = charsmapFault(charsmap.data.precompiled_charsmap);
  return fault === null ? null : `has a precompiled_charsmap that ${fault}`;
}

function postProcessorFault(json: unknown): string | null {
  if (json === null || json === undefined) return null;
  const processor = part.safeParse(json);
  if (!processor.success) return "has a post_processor without a type";
  if (processor.data.processors !== undefined)
    return firstFault(processor.data.processors, postProcessorFault);
  if (processor.data.type !== "TemplateProcessing" && !("single" in processor.data)) return null;
  const found = template.safeParse(json);
  if (!found.success) return "has a post_processor TemplateProcessing without single, pair or special_tokens";
  const { single, pair, special_tokens } = found.data;
  const unknown = [...single, ...pair].find(
    ({ SpecialToken }) => SpecialToken !== undefined && !Object.hasOwn(special_tokens, SpecialToken.id),
  );
  return unknown === undefined
    ? null
    : `has a post_processor that puts ${JSON.stringify(unknown.SpecialToken?.id)}, absent from its special_tokens`;
}
