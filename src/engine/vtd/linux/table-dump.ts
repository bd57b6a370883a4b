import { capsOf, type Kernel } from './kernel.ts';
import { contextAddress } from './tables.ts';

/**
 * The lines that a kernel with CONFIG_DMAR_DEBUG prints after a DMA fault (iommu.c dmar_fault_dump_ptes, pgtable_walk). For
 * nested and pass-through entries it walks the second-stage table with the address of the fault, which is the guest's own:
 * what it prints there means nothing.
 * @param pasid null: the request had none
 */
export function tableDump(k: Kernel, unit: number, sid: number, pasid: number | null, address: bigint): string[] {
  const u = k.units[unit]!;
  const { scalable } = capsOf(k, unit);
  const { root } = k.state.units[unit]!;
  const read = (at: number): bigint => k.bus.readWord(at);
  const hex = (w: bigint): string => `0x${w.toString(16).padStart(16, '0')}`;
  const table = (w: bigint): number => Number((BigInt.asUintN(52, w) >> 12n) << 12n);
  const out = [`Dump ${u.name} table entries for IOVA 0x${address.toString(16)}`];
  if (!root) return [...out, 'root table is not present'];
  const slot = root + ((sid >> 8) & 0xff) * 16;
  out.push(
    scalable
      ? `scalable mode root entry: hi ${hex(read(slot + 8))}, low ${hex(read(slot))}`
      : `root entry: ${hex(read(slot))}`,
  );
  const context = contextAddress(k, u, sid);
  if (context === null) return [...out, 'context table is not present'];
  const [low, high] = [read(context), read(context + 8)];
  out.push(`context entry: hi ${hex(high)}, low ${hex(low)}`);
  const present = (low & 1n) !== 0n;
  if (!scalable) {
    if (!present) return [...out, 'legacy mode page table is not present'];
    return [...out, ...walk(k, table(low), Number(high & 7n) + 2, address)];
  }
  if (!present) return [...out, 'pasid directory table is not present'];
  const directoryEntry = read(table(low) + ((pasid ?? 0) >> 6) * 8);
  out.push(`pasid dir entry: ${hex(directoryEntry)}`);
  if (!(directoryEntry & 1n)) return [...out, 'pasid table is not present'];
  const entry = table(directoryEntry) + ((pasid ?? 0) & 63) * 64;
  const words = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => read(entry + i * 8));
  out.push(...words.map((w, i) => `pasid table entry[${i}]: ${hex(w)}`));
  if (!(words[0]! & 1n)) return [...out, 'scalable mode page table is not present'];
  const firstStageOnly = ((words[0]! >> 6n) & 7n) === 1n;
  if (firstStageOnly) return [...out, ...walk(k, table(words[2]!), words[2]! & 4n ? 5 : 4, address)];
  return [...out, ...walk(k, table(words[0]!), Number((words[0]! >> 2n) & 7n) + 2, address)];
}

function walk(k: Kernel, root: number, levels: number, address: bigint): string[] {
  const out: string[] = [];
  let at = root;
  for (let level = levels; level > 0; level--) {
    const index = Number((address >> BigInt(3 + 9 * level)) & 511n);
    const entry = k.bus.readWord(at + index * 8);
    out.push(`pte level: ${level}, pte value: 0x${entry.toString(16).padStart(16, '0')}`);
    if (!(entry & 3n)) return [...out, `page table not present at level ${level - 1}`];
    if (level === 1 || entry & 0x80n) break;
    at = Number((BigInt.asUintN(52, entry) >> 12n) << 12n);
  }
  return out;
}
