/**
 * Inputs that once failed, by property. Each property runs its own first, so that what was mended stays mended. A
 * counterexample of fast-check is put here as it was printed.
 */
const kept: Readonly<Record<string, readonly (readonly unknown[])[]>> = {
  guests: [],
  obeys: [],
  deviations: [],
  replay: [],
};

/** The inputs of a property, as fast-check's `examples` takes them. */
export const regressions = (property: keyof typeof kept): (readonly unknown[])[] => [...(kept[property] ?? [])];
