import type { Bus, PageAllocator } from '../memory/index.ts';

/**
 * A table of zeros.
 * @throws RangeError when there is no page left
 */
export function allocTable(bus: Bus, pages: PageAllocator, bytes: number): number {
  const at = pages.alloc(bytes);
  for (let a = at; a < at + bytes; a += 4) if (bus.read32(a) !== 0) bus.write32(a, 0);
  return at;
}

/** What is made of pages; null when there is none left. */
export function unlessFull<T>(make: () => T): T | null {
  try {
    return make();
  } catch (e) {
    if (e instanceof RangeError) return null;
    throw e;
  }
}
