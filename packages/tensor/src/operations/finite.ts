import * as native from "@wan-ts/binding";
import { callNative } from "../errors.ts";
import { Tensor } from "../tensor.ts";

/** Whether every value of a float tensor is finite, once computed. */
export async function allFinite(input: Tensor): Promise<boolean> {
  using flag = new Tensor(callNative(() => native.allFinite(input.native)));
  const [value] = await flag.rawBytes();
  return value === 1;
}
