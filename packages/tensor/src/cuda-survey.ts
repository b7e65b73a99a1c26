import * as native from "@wan-ts/binding";

/** What of CUDA this machine has. */
export interface CudaSurvey {
  readonly driver: CudaDriverSurvey;
  /** The libraries beside the driver, each found or not. */
  readonly libraries: readonly CudaLibrarySurvey[];
}

/** What there is of NVIDIA's driver. */
export interface CudaDriverSurvey {
  /** `broken`: there is a file, but it can't be opened or initialised. */
  readonly state: "works" | "noDevice" | "broken" | "missing";
  /** What is wrong and what to do, unless it works. */
  readonly message?: string;
  /** Its file. */
  readonly path?: string;
  /** The newest version of CUDA that it supports, such as `13.0`. */
  readonly version?: string;
  /** In the order of their numbers. */
  readonly devices: readonly CudaDeviceSurvey[];
}

/** What the driver tells of a device: all but `problem`, or `problem` alone. */
export interface CudaDeviceSurvey {
  /** As the driver calls it. */
  readonly name?: string;
  /** Such as `9.0`. */
  readonly computeCapability?: string;
  readonly multiprocessors?: number;
  readonly totalBytes?: number;
  /** Why the driver can't tell of it. */
  readonly problem?: string;
}

/** What there is of a library. */
export interface CudaLibrarySurvey {
  /** As NVIDIA calls it. */
  readonly name: string;
  /** `broken`: there is a file, but it can't be used. */
  readonly state: "found" | "broken" | "missing";
  /** Its file, where it was found. */
  readonly path?: string;
  /** What it says of itself, where it was found. */
  readonly version?: string;
  /** What was tried, where that was in vain. */
  readonly tried?: string;
  /** What to do where it can't be used. */
  readonly howToGetIt?: string;
}

/**
 * Looks for NVIDIA's driver, its devices, and the libraries that wan-ts can use: in the system's places,
 * in toolkits, and in pip's packages. Opens what it finds; makes no context on any device.
 */
export function surveyCuda(): CudaSurvey {
  return native.surveyCuda() as CudaSurvey;
}
