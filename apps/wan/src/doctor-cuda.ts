import {
  type CudaDeviceSurvey,
  type CudaDriverSurvey,
  type CudaLibrarySurvey,
  type Device,
  openDevice,
  surveyCuda,
  TensorError,
} from "@wan-ts/tensor";

/** What of CUDA the machine has for wan-ts. */
export interface CudaDiagnosis {
  readonly driver: Omit<CudaDriverSurvey, "devices">;
  readonly devices: readonly CudaDeviceDiagnosis[];
  readonly libraries: readonly CudaLibrarySurvey[];
}

/** A device that was opened, or the problem that it has. */
export interface CudaDeviceDiagnosis extends CudaDeviceSurvey {
  /** As `--device` takes it. */
  readonly device: Device;
  /** What nobody holds. */
  readonly freeBytes?: number;
  /** The compute capability that its kernels are compiled for, or `ptx`, which the driver compiles. */
  readonly kernels?: string;
}

/** Looks for driver and libraries, and opens each device. */
export function diagnoseCuda(): CudaDiagnosis {
  const {
    driver: { devices, ...driver },
    libraries,
  } = surveyCuda();
  return { driver, libraries, devices: devices.map((told, index) => diagnoseDevice(`cuda:${index}`, told)) };
}

function diagnoseDevice(device: Device, told: CudaDeviceSurvey): CudaDeviceDiagnosis {
  if (told.problem !== undefined) return { device, ...told };
  try {
    const { freeBytes, kernels } = openDevice(device);
    return { device, ...told, freeBytes, kernels };
  } catch (error) {
    if (!TensorError.isInstance(error)) throw error;
    return { device, ...told, problem: error.found };
  }
}

/** The diagnosis as rows of a name and a text. Without a driver one row: nothing else matters then. */
export function describeCuda({
  driver,
  devices,
  libraries,
}: CudaDiagnosis): (readonly [name: string, text: string])[] {
  if (driver.state !== "works") {
    return [["CUDA", `${driver.message ?? driver.state}; the processor is used`]];
  }
  const place = driver.path === undefined ? "" : ` (${driver.path})`;
  return [
    ["CUDA", `the driver supports up to ${driver.version}${place}`],
    ...devices.map((device) => [device.device, describeDevice(device)] as const),
    ...libraries.map((library) => [library.name, describeLibrary(library)] as const),
  ];
}

function describeDevice(device: CudaDeviceDiagnosis): string {
  const {
    name,
    computeCapability,
    multiprocessors,
    totalBytes = 0,
    freeBytes = 0,
    kernels,
    problem,
  } = device;
  if (problem !== undefined) return `${name === undefined ? "" : `${name}: `}${problem}`;
  const memory = `${gibibytes(freeBytes)} of ${gibibytes(totalBytes)} GiB free`;
  const code = kernels === "ptx" ? "of PTX, which the driver compiles" : `for ${kernels}`;
  return `${name}, compute capability ${computeCapability}, ${multiprocessors} multiprocessors, ${memory}, kernels ${code}`;
}

function describeLibrary({ state, path, version, tried, howToGetIt }: CudaLibrarySurvey): string {
  if (state === "found") return `${version} (${path})`;
  return state === "broken"
    ? `can't be used: ${tried}; ${howToGetIt}`
    : `missing, and optional: ${howToGetIt}`;
}

function gibibytes(bytes: number): string {
  return (bytes / 2 ** 30).toFixed(1);
}
