/**
 * Joins frames of videos into one picture, a video a row: the strips of the README.
 *
 * Usage: bun scripts/frame-strip.ts OUTPUT.png FRAMES_PER_ROW FOLDER… (folders of PNG frames, as
 * `bun run app --output FOLDER/` writes them)
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { encodePng, loadImage, type RgbImage } from "../packages/media/src/index.ts";

const [output, perRowText, ...folders] = process.argv.slice(2);
const perRow = Number(perRowText);
if (output === undefined || !Number.isInteger(perRow) || perRow < 2 || folders.length === 0) {
  process.stderr.write("usage: bun scripts/frame-strip.ts OUTPUT.png FRAMES_PER_ROW FOLDER…\n");
  process.exit(2);
}

const gap = 4;
const rows: RgbImage[][] = [];
for (const folder of folders) {
  const files = readdirSync(folder)
    .filter((file) => file.endsWith(".png"))
    .toSorted();
  const chosen = Array.from(
    { length: perRow },
    (_, index) => files[Math.round((index * (files.length - 1)) / (perRow - 1))],
  );
  rows.push(await Promise.all(chosen.map((file) => loadImage(join(folder, file as string)))));
}

const [[first]] = rows as [[RgbImage]];
const { width, height } = first;
const strip = {
  width: perRow * (width + gap) - gap,
  height: rows.length * (height + gap) - gap,
  data: new Uint8Array((perRow * (width + gap) - gap) * (rows.length * (height + gap) - gap) * 3).fill(255),
};
for (const [row, frames] of rows.entries()) {
  for (const [column, frame] of frames.entries()) {
    for (let y = 0; y < height; y++) {
      const line = frame.data.subarray(y * width * 3, (y + 1) * width * 3);
      const left = column * (width + gap);
      const top = row * (height + gap) + y;
      strip.data.set(line, (top * strip.width + left) * 3);
    }
  }
}
await Bun.write(output, await encodePng(strip));
