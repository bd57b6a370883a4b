import type { Layout } from '../../bits/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import { type Bus, PAGE_SIZE, type PageAllocator } from '../../memory/index.ts';
import { contextLayout, contextLegacyLayout, pasidDirLayout, rootLayout, rootLegacyLayout } from '../layout/index.ts';
import type { DeviceInfo } from './device-info.ts';
import { capsOf, type IntelIommu, type Kernel } from './kernel.ts';

/** Root, context and PASID directory tables: where entries lie, and how their words are written (iommu.c, pasid.c). */

/** Zeroed pages of this kernel. */
export function allocateZeroed(k: { readonly bus: Bus; readonly pages: PageAllocator }, bytes: number): number {
  const at = k.pages.alloc(bytes);
  for (let page = at; page < at + bytes; page += PAGE_SIZE) {
    if (k.bus.readBytes(page, PAGE_SIZE).every((b) => b === 0)) continue;
    for (let i = 0; i < PAGE_SIZE; i += 8) k.bus.writeWord(page + i, 0n);
  }
  return at;
}

/** A record in memory that the driver changes word by word. */
export interface Entry {
  readonly address: number;
  readonly layout: Layout;
  /** Scene object that shows it. */
  readonly at: string;
  /** `PASID entry of nic0, PASID 0x5` */
  readonly name: string;
}

/** One assignment of the driver: those bits of that word. `publish`: what stands before is visible first. */
export interface FieldWrite {
  readonly word: number;
  readonly mask: bigint;
  readonly bits: bigint;
  readonly publish?: true;
}

export const readEntry = (k: Kernel, e: Entry): bigint[] =>
  Array.from({ length: e.layout.words }, (_, i) => k.bus.readWord(e.address + 8 * i));

/**
 * Carries out assignments in order. Assignments to one word that follow one another are one store, what changes nothing is
 * none, and one that publishes is a store of its own.
 */
export function* writeFields(k: Kernel, e: Entry, writes: readonly FieldWrite[]): Op<void> {
  const words = readEntry(k, e);
  let dirty = -1;
  for (const w of writes) {
    const next = (words[w.word]! & ~w.mask) | w.bits;
    if (next === words[w.word]) continue;
    if (dirty >= 0 && (dirty !== w.word || w.publish)) yield* store(k, e, words, dirty);
    words[w.word] = next;
    dirty = w.word;
  }
  if (dirty >= 0) yield* store(k, e, words, dirty);
}

/** Zeroes an entry word by word, from word 0 on. */
export const clearWrites = (words: number): FieldWrite[] =>
  Array.from({ length: words }, (_, word) => ({ word, mask: 2n ** 64n - 1n, bits: 0n }));

function* store(k: Kernel, e: Entry, words: readonly bigint[], word: number): Op<void> {
  k.bus.writeWord(e.address + 8 * word, words[word]!);
  k.trace.listener?.({
    kind: 'table.write',
    actor: k.actor,
    at: e.at,
    space: k.space,
    address: e.address,
    words: [...words],
    layout: e.layout.id,
    text: `${e.name}: qw${word} 0x${words[word]!.toString(16).padStart(16, '0')}`,
  });
  yield pause(k.actor, 'table.write');
}

const busOf = (sid: number): number => (sid >> 8) & 0xff;
const functionOf = (sid: number): number => sid & 0xff;

/** Word of the root table that leads to a device's context table. */
function rootSlot(k: Kernel, u: IntelIommu, sid: number): { readonly entry: Entry; readonly word: number } {
  const { scalable } = capsOf(k, u.index);
  const entry = {
    address: k.state.units[u.index]!.root + busOf(sid) * 16,
    layout: scalable ? rootLayout : rootLegacyLayout,
    at: u.ids.root,
    name: `root entry of bus 0x${busOf(sid).toString(16).padStart(2, '0')}`,
  };
  return { entry, word: scalable && functionOf(sid) >= 0x80 ? 1 : 0 };
}

/** Where a device's context entry lies; null where its context table does not exist. */
export function contextAddress(k: Kernel, u: IntelIommu, sid: number): number | null {
  const { entry, word } = rootSlot(k, u, sid);
  const value = k.bus.readWord(entry.address + 8 * word);
  if (!(value & 1n)) return null;
  const table = Number((value >> 12n) << 12n);
  return capsOf(k, u.index).scalable ? table + (functionOf(sid) & 0x7f) * 32 : table + functionOf(sid) * 16;
}

/** iommu_context_addr with alloc: makes the context table where there is none, and links it with one store. */
export function* contextEntryOf(k: Kernel, u: IntelIommu, d: Pick<DeviceInfo, 'name' | 'sid'>): Op<Entry> {
  if (contextAddress(k, u, d.sid) === null) {
    const table = allocateZeroed(k, PAGE_SIZE);
    const { entry, word } = rootSlot(k, u, d.sid);
    yield* writeFields(k, entry, [{ word, mask: 2n ** 64n - 1n, bits: BigInt(table) | 1n }]);
  }
  return contextEntryAt(k, u, d, contextAddress(k, u, d.sid)!);
}

export const contextEntryAt = (
  k: Kernel,
  u: IntelIommu,
  d: Pick<DeviceInfo, 'name' | 'sid'>,
  address: number,
): Entry => ({
  address,
  layout: capsOf(k, u.index).scalable ? contextLayout : contextLegacyLayout,
  at: u.ids.context(d.sid),
  name: `context entry of ${d.name}`,
});

/** PASIDs under one directory entry. */
const PASIDS = 64;

/** Where a PASID's entry lies; null beyond the directory, or where its table does not exist. */
export function pasidAddress(k: Kernel, d: DeviceInfo, pasid: number): number | null {
  if (!d.pasidTable || pasid >= d.pasidTable.maxPasid) return null;
  const value = k.bus.readWord(d.pasidTable.directory + Math.floor(pasid / PASIDS) * 8);
  return value & 1n ? Number((value >> 12n) << 12n) + (pasid % PASIDS) * 64 : null;
}

/**
 * Where a PASID's entry lies; a missing table is made and linked, and nobody is told: an invalidation never follows
 * (pasid.c intel_pasid_get_entry). Null beyond the directory.
 */
export function* pasidAddressMade(k: Kernel, u: IntelIommu, d: DeviceInfo, pasid: number): Op<number | null> {
  if (!d.pasidTable || pasid >= d.pasidTable.maxPasid) return null;
  if (pasidAddress(k, d, pasid) === null) {
    const table = allocateZeroed(k, PAGE_SIZE);
    const first = Math.floor(pasid / PASIDS) * PASIDS;
    const entry = {
      address: d.pasidTable.directory + (first / PASIDS) * 8,
      layout: pasidDirLayout,
      at: u.ids.context(d.sid),
      name: `PASID directory entry of ${d.name}, PASIDs from 0x${first.toString(16)}`,
    };
    yield* writeFields(k, entry, [{ word: 0, mask: 2n ** 64n - 1n, bits: BigInt(table) | 1n }]);
  }
  return pasidAddress(k, d, pasid);
}
