export { Cancellation } from "./cancellation.ts";
export {
  type CudaDeviceSurvey,
  type CudaDriverSurvey,
  type CudaLibrarySurvey,
  type CudaSurvey,
  surveyCuda,
} from "./cuda-survey.ts";
export { type CudaDevice, closeDevice, countCudaDevices, openDevice } from "./device.ts";
export { type Device, type DType, dtypeSize, dtypes, isFloat } from "./dtype.ts";
export { isTensorErrorCode, TensorError, type TensorErrorCode } from "./errors.ts";
export { type MemoryCounters, memory, resetPeakMemory } from "./memory.ts";
export * from "./operations/index.ts";
export { measurePeak } from "./peak.ts";
export * from "./random/index.ts";
export { type Operand, Rehearsal, type Rehearsed, type RehearsedOperation } from "./rehearsal.ts";
export { keep, scope } from "./scope.ts";
export {
  availableInstructionSets,
  instructionSet,
  setInstructionSet,
  setThreads,
  synchronize,
  synchronizeBlocking,
  threads,
} from "./stream.ts";
export { Tensor, type TensorData } from "./tensor.ts";
export { OperationTrace, type TraceEvent, type Traffic, traceOperations } from "./trace.ts";
