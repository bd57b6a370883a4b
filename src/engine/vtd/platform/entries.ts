import { hexPlain } from '../../bits/index.ts';
import type { SceneObject } from '../../machine/index.ts';
import { type Draft, readWords } from '../../platform/index.ts';
import { capsOf, contextEntry, type DeviceInfo, type Kernel, pasidEntry } from '../linux/index.ts';
import { contextText, type PasidText, pasidText } from './entry-text.ts';

/** The entries that find a device's page tables, as one kernel has laid them out, the host's or a guest's. */

export interface PasidEntry {
  readonly pasid: number;
  /** -1: its table does not exist yet. */
  readonly address: number;
  readonly words: readonly bigint[];
}

export interface ContextEntry {
  readonly address: number;
  readonly words: readonly bigint[];
}

/** The context entry of a device; null where there is no context table. Two words in legacy mode. */
export function contextOf(k: Kernel, d: DeviceInfo): ContextEntry | null {
  const address = contextEntry(k, d);
  if (address === null) return null;
  return { address, words: readWords(k.bus, address, capsOf(k, d.unit).scalable ? 4 : 2) };
}

/**
 * PASID entries of a device: that of the RID, those that the kernel uses, and whatever else is present beside them. Tables
 * that hold none of these are not searched.
 */
export function pasidsOf(k: Kernel, d: DeviceInfo): PasidEntry[] {
  if (!d.pasidTable) return [];
  const wanted = new Set([0, ...d.pasids.keys()]);
  for (const page of new Set([...wanted].map((pasid) => Math.floor(pasid / 64) * 64))) {
    const table = pasidEntry(k, d, page);
    if (table === null) continue;
    for (let i = 0; i < 64; i++) if (k.bus.readWord(table + 64 * i) & 1n) wanted.add(page + i);
  }
  return [...wanted]
    .sort((a, b) => a - b)
    .map((pasid) => {
      const address = pasidEntry(k, d, pasid) ?? -1;
      return { pasid, address, words: address < 0 ? new Array<bigint>(8).fill(0n) : readWords(k.bus, address, 8) };
    });
}

/** Scene id of the context or PASID entry that holds an address; null: none does. */
export function entryAt(k: Kernel, address: number): string | null {
  const within = (e: { readonly address: number; readonly words: readonly bigint[] } | null): boolean =>
    e !== null && e.address >= 0 && address >= e.address && address < e.address + 8 * e.words.length;
  for (const d of k.state.devices) {
    const { ids } = k.units[d.unit]!;
    if (within(contextOf(k, d))) return ids.context(d.sid);
    const e = pasidsOf(k, d).find(within);
    if (e) return ids.pasid(d.sid, e.pasid);
  }
  return null;
}

/** Arrows from a device, or from its context entry, to the PASID entries. */
export const pasidRefs = (k: Kernel, d: DeviceInfo): SceneObject['refs'] =>
  pasidsOf(k, d).map((e) => ({
    to: k.units[d.unit]!.ids.pasid(d.sid, e.pasid),
    label: `PASID ${hexPlain(e.pasid)}`,
  }));

/** A guest's context entry of a device. Those of the host are part of its root table's picture. */
export function contextObject(k: Kernel, d: DeviceInfo): Draft {
  const context = contextOf(k, d);
  return {
    id: k.units[d.unit]!.ids.context(d.sid),
    type: 'Context entry',
    title: 'vContext entry',
    device: d.name,
    lines: [context ? contextText(context.words) : 'absent'],
    refs: pasidRefs(k, d),
  };
}

/**
 * The PASID entries of a device: each of them leads to one page table.
 * @param prefix of the titles: `v` in a guest
 * @param leads what an entry leads to
 */
export function pasidObjects(
  k: Kernel,
  d: DeviceInfo,
  prefix: string,
  leads: (e: PasidText) => SceneObject['refs'],
): Draft[] {
  const { ids } = k.units[d.unit]!;
  return pasidsOf(k, d).map((e) => {
    const text = pasidText(e.words);
    return {
      id: ids.pasid(d.sid, e.pasid),
      type: 'PASID entry',
      title: `${prefix}PASID entry ${hexPlain(e.pasid)}`,
      device: d.name,
      // The second stage of a nested entry is the parent's, which the inspector shows too.
      lines: [text.text, ...text.tables.slice(0, 1)],
      refs: text.present ? leads(text) : [],
    };
  });
}
