import type { Kernel } from './state.ts';

/** Pages from the guest's allocator with every word zero (dma_alloc_coherent, get_zeroed_page). */
export function allocateZeroed(k: Pick<Kernel, 'memory' | 'pages'>, size: number): number {
  const at = k.pages.alloc(size);
  for (let a = at; a < at + size; a += 4) if (k.memory.read32(a) !== 0) k.memory.write32(a, 0);
  return at;
}
