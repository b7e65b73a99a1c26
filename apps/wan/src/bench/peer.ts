import { join } from "node:path";
import { type Device, threads } from "@wan-ts/tensor";
import { z } from "zod";
import { InputError } from "../input-error.ts";
import type { PeerTask } from "./case.ts";
import type { Repeats } from "./measure.ts";

const readySchema = z.object({ ready: z.string() });
const timedSchema = z.object({ name: z.string(), medianSeconds: z.number() });
const errorSchema = z.object({ error: z.string() });
const absentSchema = z.object({ absent: z.string() });

/** A peer that failed at something it has. */
export class PeerError extends Error {
  override readonly name = "PeerError";
  readonly code = "peer";
}

/** Why a peer has no figure for a task. */
export interface PeerAbsence {
  readonly absent: string;
}

/** What a peer took. */
export interface PeerTime {
  readonly name: string;
  readonly medianSeconds: number;
}

/**
 * PyTorch in a process of its own, which lives as long as the benchmarks and is told what to time by
 * a line of JSON each.
 */
export class Peer implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "ignore">;
  readonly #lines: AsyncIterator<string>;
  readonly #device: Device;

  private constructor(child: Bun.Subprocess<"pipe", "pipe", "ignore">, device: Device) {
    this.#child = child;
    this.#device = device;
    this.#lines = linesOf(child.stdout);
  }

  /**
   * Starts Python: `$WAN_PEER_PYTHON`, else python3.
   *
   * @throws {InputError} where there is none, or none with torch that knows the device.
   */
  static async start(device: Device): Promise<Peer> {
    const python = process.env.WAN_PEER_PYTHON ?? "python3";
    if (!Bun.which(python)) {
      throw new InputError(`--peers: there is no ${python}; set WAN_PEER_PYTHON to a Python that has torch`);
    }
    const count = String(threads());
    const child = Bun.spawn([python, join(import.meta.dir, "torch-peer.py"), device], {
      stdin: "pipe",
      stdout: "pipe",
      // Libraries chat there; what goes wrong comes as an answer.
      stderr: "ignore",
      env: { ...process.env, OMP_NUM_THREADS: count, MKL_NUM_THREADS: count },
    });
    const peer = new Peer(child, device);
    const answer = await peer.#receive();
    if (readySchema.safeParse(answer).success) return peer;
    const problem = errorSchema.safeParse(answer);
    await peer[Symbol.asyncDispose]();
    const reason = problem.success ? problem.data.error : "it ended at once";
    throw new InputError(
      `--peers: ${python} can't be used: ${reason}; set WAN_PEER_PYTHON to one with torch${device === "cpu" ? "" : " for CUDA"}`,
    );
  }

  /** Times a task; or tells why not: this peer lacks a library for it, or failed. */
  async time(task: PeerTask, repeats: Repeats): Promise<PeerTime | PeerAbsence> {
    const settings = { ...task, ...repeats, device: this.#device, threads: threads() };
    try {
      await this.#child.stdin.write(`${JSON.stringify(settings)}\n`);
      await this.#child.stdin.flush();
    } catch {
      return { absent: "it ended" };
    }
    const answer = await this.#receive();
    const timed = timedSchema.safeParse(answer);
    if (timed.success) return timed.data;
    const absent = absentSchema.safeParse(answer);
    if (absent.success) return absent.data;
    const problem = errorSchema.safeParse(answer);
    return { absent: problem.success ? problem.data.error : "it ended" };
  }

  /** Ends the process. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stdin.end();
    await this.#child.exited;
  }

  async #receive(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done) return undefined;
    const answer: unknown = JSON.parse(value);
    return answer;
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const part of stream) {
    const lines = (rest + decoder.decode(part, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
