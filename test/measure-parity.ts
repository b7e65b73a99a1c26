/**
 * Prints how far every fixture's latents and frames are from diffusers', for the table of docs/models.md.
 *
 * Usage: bun test/measure-parity.ts
 */
import { instructionSet } from "@wan-ts/tensor";
import { fixtureCases, relativeDistance } from "./fixture-cases.ts";
import { generateFixture } from "./generate-fixture.ts";

process.stdout.write(`instruction set ${instructionSet()}\n`);
for (const fixture of fixtureCases()) {
  const { width, height, num_frames: frames, num_inference_steps: steps, dtype } = fixture.params;
  const expected = await fixture.expected();
  using result = await generateFixture(fixture);
  const latents = relativeDistance(await result.latents.floats(), expected.latents).toExponential(1);
  const pixels = relativeDistance(result.frames.data, expected.frames).toExponential(1);
  const size = `${width} × ${height} × ${frames}, ${steps}`;
  process.stdout.write(`| \`${fixture.name}\` | ${dtype} | ${size} | ${latents} | ${pixels} |\n`);
}
