import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { embeddedModel, TemporaryFolder } from "./run-app.ts";

/** What the header of a safetensors file says of a tensor. */
export interface StoredTensor {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** A copy of the embedded checkpoint to do damage to; it goes away with the scope. */
export class DamagedModel extends TemporaryFolder {
  constructor() {
    super();
    cpSync(embeddedModel, this.path, { recursive: true });
  }

  /** Rewrites a file. */
  edit(name: string, change: (bytes: Buffer) => Uint8Array | string): void {
    writeFileSync(join(this.path, name), change(readFileSync(join(this.path, name))));
  }

  /** Rewrites a JSON file. */
  editJson(name: string, change: (json: Record<string, unknown>) => void): void {
    this.edit(name, (bytes) => {
      const json = JSON.parse(bytes.toString()) as Record<string, unknown>;
      change(json);
      return JSON.stringify(json);
    });
  }

  /** Rewrites the header, and if need be the data, of a safetensors file. */
  editTensors(name: string, change: (header: Record<string, StoredTensor>, data: Buffer) => void): void {
    this.edit(name, (bytes) => {
      const length = Number(bytes.readBigUInt64LE());
      const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<string, StoredTensor>;
      const data = bytes.subarray(8 + length);
      change(header, data);
      return Buffer.concat([safetensorsHead(JSON.stringify(header)), data]);
    });
  }
}

/** The beginning of a safetensors file: the header's length, then the header. */
export function safetensorsHead(header: string): Buffer {
  const padded = Buffer.from(header.padEnd(Math.ceil(header.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded]);
}
