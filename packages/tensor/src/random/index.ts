export { Generator } from "./generator.ts";
export { GeneratorArgumentError } from "./generator-argument-error.ts";
