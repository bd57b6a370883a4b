import { decodeFault } from '../layout/index.ts';
import { type Kernel, log, tableDump } from '../linux/index.ts';

/** What CONFIG_DMAR_DEBUG adds to the log after a DMA fault; interrupt faults (0x20 to 0x2f) get nothing. */
export function dumpTables(k: Kernel, unit: number, words: readonly [bigint, bigint]): void {
  const f = decodeFault(words);
  if (((f['FR'] ?? 0n) & 0xf0n) === 0x20n) return;
  const pasid = f['PP'] ? Number(f['PV']) : null;
  for (const line of tableDump(k, unit, Number(f['SID']), pasid, words[0] & ~0xfffn))
    log(k, k.units[unit]!.ids.frcd, `DMAR: ${line}`);
}
