/** The part of gifenc 1.0.3 that is used; the package carries no types. */
declare module "gifenc" {
  type Palette = number[][];

  interface FrameOptions {
    /** Required with the first frame; becomes the frame's own table otherwise. */
    palette: Palette;
    /** Milliseconds; written in hundredths of a second. */
    delay: number;
    /** −1 once, 0 forever; read with the first frame. */
    repeat: number;
  }

  interface Encoder {
    writeFrame(indices: Uint8Array, width: number, height: number, options: FrameOptions): void;
    finish(): void;
    bytes(): Uint8Array<ArrayBuffer>;
  }

  export function GIFEncoder(): Encoder;
  export function quantize(rgba: Uint8Array, maxColors: number, options: { format: "rgb444" }): Palette;
  export function applyPalette(rgba: Uint8Array, palette: Palette, format: "rgb565"): Uint8Array;
}
