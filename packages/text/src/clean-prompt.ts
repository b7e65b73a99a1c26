import { fixText } from "./fix-text/fix-text.ts";
import { htmlUnescape } from "./html-unescape.ts";
import { collapseWhitespace, strip } from "./python-whitespace.ts";

/**
 * A prompt as the text encoder should see it (diffusers: prompt_clean of pipelines/wan/pipeline_wan.py): its text
 * repaired as ftfy repairs it, HTML references replaced twice, runs of whitespace made one space, none at the ends.
 */
export function cleanPrompt(prompt: string): string {
  return strip(collapseWhitespace(htmlUnescape(htmlUnescape(fixText(prompt)))));
}
