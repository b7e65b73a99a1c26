/**
 * Solves `matrix · x = rightSide` by Gaussian elimination with row pivots, in float64. The matrix is square and a few
 * rows high; a singular one gives values that aren't finite.
 */
export function solveLinearSystem(
  matrix: readonly (readonly number[])[],
  rightSide: readonly number[],
): number[] {
  const size = matrix.length;
  const rows = matrix.map((row, index) => [...row, rightSide[index]!]);
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let row = column + 1; row < size; row++) {
      if (Math.abs(rows[row]![column]!) > Math.abs(rows[pivot]![column]!)) pivot = row;
    }
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    for (let row = column + 1; row < size; row++) {
      const factor = rows[row]![column]! / rows[column]![column]!;
      for (let k = column; k <= size; k++) rows[row]![k]! -= factor * rows[column]![k]!;
    }
  }
  const solution = new Array<number>(size).fill(0);
  for (let row = size - 1; row >= 0; row--) {
    let rest = rows[row]![size]!;
    for (let k = row + 1; k < size; k++) rest -= rows[row]![k]! * solution[k]!;
    solution[row] = rest / rows[row]![row]!;
  }
  return solution;
}
