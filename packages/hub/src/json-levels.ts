/** Whether `json`, what `JSON.parse` gave, has lists or objects within one another beyond `levels`. */
export function isNestedBeyond(json: unknown, levels: number): boolean {
  // Level by level: a function that calls itself would run out of the stack that this is to save.
  let level: readonly unknown[] = [json];
  for (let depth = 0; depth <= levels; depth++) {
    level = level.flatMap((value) =>
      typeof value === "object" && value !== null ? Object.values(value) : [],
    );
    if (level.length === 0) return false;
  }
  return true;
}
