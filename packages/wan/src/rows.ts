import { scope, type Tensor } from "@wan-ts/tensor";

/** (N, …) → (N · count, …): each row `count` times, one after the other. */
export function repeatRows(rows: Tensor, count: number): Tensor {
  return scope(() => {
    const [batch, ...rest] = rows.shape as [number, ...number[]];
    return rows
      .unsqueeze(1)
      .expand([batch, count, ...rest])
      .reshape([batch * count, ...rest]);
  });
}

/** (N, …) → (count · N, …): all rows in turn, `count` times over. */
export function tileRows(rows: Tensor, count: number): Tensor {
  return scope(() => {
    const [batch, ...rest] = rows.shape as [number, ...number[]];
    return rows
      .unsqueeze(0)
      .expand([count, batch, ...rest])
      .reshape([count * batch, ...rest]);
  });
}
