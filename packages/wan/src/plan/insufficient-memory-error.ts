/** A run that is far too large for the memory that there is. */
export class InsufficientMemoryError extends Error {
  override readonly name = "InsufficientMemoryError";
  readonly code = "insufficientMemory";
  /** What it takes at least. */
  readonly neededBytes: number;
  readonly availableBytes: number;

  constructor(neededBytes: number, availableBytes: number) {
    super(`this takes at least ${neededBytes} bytes of memory, but ${availableBytes} can be had`);
    this.neededBytes = neededBytes;
    this.availableBytes = availableBytes;
  }
}
