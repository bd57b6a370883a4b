import type { Bus } from '../memory/index.ts';
import type { GenericTable } from './generic-table.ts';
import { layoutOf } from './generic-table-format.ts';
import { leafCleaned, type TableWrite } from './table-steps.ts';

interface DirtyLeaves {
  /** ERANGE: the range is beyond the table. */
  readonly errno: string;
  /** Leaves that were written to, in ascending order; each as a whole, also where the range cuts it. */
  readonly dirty: readonly { readonly iova: number; readonly size: number }[];
}

/**
 * Finds what was written to since it was last cleaned, and cleans it. A leaf made clean may still be cached as dirty: the
 * caller invalidates the ranges of the result before it trusts a later reading. Holes are passed over.
 * Source: drivers/iommu/generic_pt/iommu_pt.h read_and_clear_dirty.
 * @param clear false: look only (IOMMU_DIRTY_NO_CLEAR)
 */
export function* readAndClearDirty(
  table: GenericTable,
  bus: Bus,
  iova: number,
  size: number,
  clear = true,
): Generator<TableWrite, DirtyLeaves, void> {
  const dirty: { iova: number; size: number }[] = [];
  if (iova < 0 || iova + size > table.end) return { errno: 'ERANGE', dirty };
  for (let at = iova; at < iova + size; ) {
    const leaf = table.lookup(at);
    if (leaf === null) {
      at += table.hole(at);
      continue;
    }
    const start = at - (at % leaf.size);
    if (leaf.entry & BigInt(table.format.dirty)) {
      dirty.push({ iova: start, size: leaf.size });
      if (clear) {
        const word = leaf.entry & ~BigInt(table.format.dirty);
        bus.writeWord(leaf.address, word);
        yield leafCleaned(leaf, start, word, layoutOf(table.format, leaf.level, true), 'page');
      }
    }
    at = start + leaf.size;
  }
  return { errno: '0', dirty };
}
