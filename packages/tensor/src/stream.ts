import * as native from "@wan-ts/binding";
import { awaitNative, callNative } from "./errors.ts";

/** Threads that share each operation on the CPU. At first as many as the system lends this process. */
export function threads(): number {
  return native.threads();
}

/**
 * Sets how many threads share each operation, from the next one on. Results have the same bytes
 * for any number.
 *
 * @throws {TensorError} `argument` unless 1 ≤ count ≤ 1024.
 */
export function setThreads(count: number): void {
  callNative(() => native.setThreads(count));
}

/** The widest instruction set that operations use: `portable`, `avx2`, `avx512` or `avx512bf16`. */
export function instructionSet(): string {
  return native.instructionSet();
}

/** Instruction sets that this machine has and kernels are written for, narrowest first. */
export function availableInstructionSets(): string[] {
  return native.availableInstructionSets();
}

/**
 * Holds operations to an instruction set. Sets differ in the last bits of a result.
 *
 * @throws {TensorError} `argument` for one that is unknown or that the machine lacks.
 */
export function setInstructionSet(name: string): void {
  callNative(() => native.setInstructionSet(name));
}

/** Resolves when everything submitted so far has run. */
export function synchronize(): Promise<void> {
  return awaitNative(() => native.synchronize());
}

/** Blocks the JavaScript thread until everything submitted so far has run. For tests and benchmarks. */
export function synchronizeBlocking(): void {
  native.synchronizeBlocking();
}
