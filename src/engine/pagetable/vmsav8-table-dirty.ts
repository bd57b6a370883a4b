import type { Bus } from '../memory/index.ts';
import { leafCleaned, type TableWrite } from './table-steps.ts';
import type { Vmsav8Table } from './vmsav8-table.ts';
import { layoutId } from './vmsav8-table-format.ts';

/** Bits of a leaf: AP[2] and DBM together tell clean from dirty. */
const AP_READ_ONLY = 1n << 7n;
const DBM = 1n << 51n;

interface DirtyResult {
  /** EINVAL: not a stage-1 table, or a hole in the range. What came before is reported all the same. */
  readonly errno: string;
  /** Leaves that were written to, in ascending order. */
  readonly dirty: readonly { readonly iova: number; readonly size: number }[];
}

/**
 * Finds what was written to since it was last cleaned, and cleans it: each dirty leaf gets AP[2] again. A cleaned leaf may
 * still be cached as dirty, so the caller invalidates the ranges of the result before it trusts a later reading.
 * Source: io-pgtable-arm.c arm_lpae_read_and_clear_dirty, visit_dirty.
 * @param clear false: look only (IOMMU_DIRTY_NO_CLEAR)
 */
export function* readAndClearDirty(
  table: Vmsav8Table,
  bus: Bus,
  iova: number,
  size: number,
  clear = true,
): Generator<TableWrite, DirtyResult, void> {
  const dirty: { iova: number; size: number }[] = [];
  if (table.cfg.stage !== 1 || size < 1 || iova + size > 2 ** table.cfg.inputBits) return { errno: 'EINVAL', dirty };
  for (let at = iova; at < iova + size; ) {
    const leaf = table.lookup(at);
    if (leaf === null) return { errno: 'EINVAL', dirty };
    if ((leaf.descriptor & (AP_READ_ONLY | DBM)) === DBM) {
      dirty.push({ iova: at, size: leaf.size });
      if (clear) {
        const word = leaf.descriptor | AP_READ_ONLY;
        bus.writeWord(leaf.address, word);
        const what = leaf.level === 3 ? 'page' : 'block';
        yield leafCleaned(leaf, at, word, layoutId(table.cfg, leaf.level, true), what);
      }
    }
    at += leaf.size;
  }
  return { errno: '0', dirty };
}
