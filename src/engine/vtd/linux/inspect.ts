import type { DeviceInfo } from './device-info.ts';
import { capsOf, type Kernel } from './kernel.ts';
import { contextAddress, pasidAddress } from './tables.ts';

/** Where things lie, for pictures and inspectors; nothing is changed. */

/** Address of a unit's root table, 0 before there is one. */
export const rootTable = (k: Kernel, unit: number): number => k.state.units[unit]!.root;

/** Address of a device's context entry; null where its context table does not exist. */
export const contextEntry = (k: Kernel, d: DeviceInfo): number | null =>
  rootTable(k, d.unit) ? contextAddress(k, k.units[d.unit]!, d.sid) : null;

/** Address of the PASID entry; null where its table does not exist. */
export const pasidEntry = (k: Kernel, d: DeviceInfo, pasid: number): number | null => pasidAddress(k, d, pasid);

/** PASIDs whose entries are present in memory, ascending. */
export function presentPasids(k: Kernel, d: DeviceInfo): number[] {
  const table = d.pasidTable;
  if (!table || !capsOf(k, d.unit).scalable) return [];
  const out: number[] = [];
  for (let i = 0; i < table.maxPasid / 64; i++) {
    const word = k.bus.readWord(table.directory + i * 8);
    if (!(word & 1n)) continue;
    const page = Number((word >> 12n) << 12n);
    for (let j = 0; j < 64; j++) if (k.bus.readWord(page + j * 64) & 1n) out.push(i * 64 + j);
  }
  return out;
}
