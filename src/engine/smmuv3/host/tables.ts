import { encode } from '../../bits/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import { cdLayout, l1cdLayout, l1stdLayout, steLayout } from '../layout/index.ts';
import { readEntry, wordsText, writeEntry } from './entry.ts';
import { issue, submit } from './queue.ts';
import { allocateZeroed, type CdTable, featuresOf, type Host, type Master, type StreamTable } from './state.ts';
import { abortSte } from './ste.ts';

/** The host's stream table and CD tables in memory, and how their entries change. */

const ENTRY_BYTES = 64;
/** StreamID bits below the first level (STRTAB_SPLIT). */
export const SPLIT = 8;
const STES = 2 ** SPLIT;
/** The first level has at most so many entries (STRTAB_MAX_L1_ENTRIES). */
const MAX_L1 = 2 ** 17;
/** CDs of a 64 KiB leaf (CTXDESC_L2_ENTRIES). */
const CDS = 1024;

const hex = (n: number): string => `0x${n.toString(16)}`;

export function tableWritten(h: Host, address: number, words: readonly bigint[], layout: string, text: string): void {
  h.trace.listener?.({
    kind: 'table.write',
    actor: 'driver',
    at: h.ids.strtab,
    space: 'host',
    address,
    words,
    layout,
    text,
  });
}

/** arm_smmu_init_strtab: an empty first level, or a whole linear table of abort STEs. */
export function makeStreamTable(h: Host): StreamTable {
  const f = featuresOf(h);
  if (f.twoLevelStreamTable) {
    const entries = Math.min(Math.floor((2 ** f.sidBits - 1) / STES) + 1, MAX_L1);
    return { base: allocateZeroed(h, entries * 8), twoLevel: true, entries, l2: [] };
  }
  const entries = 2 ** f.sidBits;
  const base = allocateZeroed(h, entries * ENTRY_BYTES);
  for (let i = 0; i < entries; i++) h.memory.writeWord(base + i * ENTRY_BYTES, abortSte()[0]!);
  return { base, twoLevel: false, entries, l2: [] };
}

/** STRTAB_BASE_CFG: format, split, log2 of the number of StreamIDs. */
export function streamTableConfig(t: StreamTable): bigint {
  const log2 = Math.log2(t.entries);
  return t.twoLevel ? BigInt((1 << 16) | (SPLIT << 6) | (log2 + SPLIT)) : BigInt(log2);
}

/**
 * arm_smmu_init_sid_strtab: the STE of a StreamID exists from here on; a second-level table is filled with aborts before
 * the first level points to it. No command follows.
 * @returns its address, or null for a StreamID beyond the table (ERANGE)
 */
export function* streamTableEntry(h: Host, sid: number): Op<number | null> {
  const t = h.state.strtab!;
  if (!t.twoLevel) return sid < t.entries ? t.base + sid * ENTRY_BYTES : null;
  const index = Math.floor(sid / STES);
  if (index >= t.entries) return null;
  let l2 = t.l2.find((x) => x.index === index);
  if (!l2) {
    const address = allocateZeroed(h, STES * ENTRY_BYTES);
    const ste = abortSte();
    for (let i = 0; i < STES; i++) h.memory.writeWord(address + i * ENTRY_BYTES, ste[0]!);
    tableWritten(h, address, ste, steLayout.id, `${STES} STEs, all abort`);
    yield pause('driver', 'table.write');
    const l1std = encode(l1stdLayout, { Span: SPLIT + 1, L2Ptr: BigInt(address) });
    const at = t.base + index * 8;
    h.memory.writeWord(at, l1std[0]!);
    const range = `StreamIDs ${hex(index * STES)} to ${hex(index * STES + STES - 1)}`;
    tableWritten(h, at, l1std, l1stdLayout.id, `L1STD[${index}]: ${range}`);
    yield pause('driver', 'table.write');
    l2 = { index, address };
    t.l2.push(l2);
  }
  return l2.address + (sid % STES) * ENTRY_BYTES;
}

/** arm_smmu_write_ste: the groups of writes with their invalidations, then the hint to load the new entry. */
export function* writeSte(h: Host, m: Master, target: readonly bigint[]): Op<void> {
  const current = readEntry(h.memory, m.steAddress);
  const { rules } = h;
  const steps = rules.entrySteps(
    current,
    target,
    rules.steUsed(current),
    rules.steUsed(target),
    rules.steSafe(current, target),
  );
  for (const changed of writeEntry(h.memory, m.steAddress, steps)) {
    tableWritten(
      h,
      m.steAddress,
      readEntry(h.memory, m.steAddress),
      steLayout.id,
      `STE ${hex(m.sid)} ${wordsText(changed)}`,
    );
    yield pause('driver', 'table.write');
    yield* submit(h, rules.steSync(m.sid));
  }
  yield* issue(h, rules.stePrefetch(m.sid), false);
}

/** arm_smmu_alloc_cd_tables: linear up to 1024 CDs or without CD2L, else leaves of 64 KiB that are made when needed. */
function makeCdTable(h: Host, m: Master): CdTable {
  const contexts = 2 ** m.ssidBits;
  if (!featuresOf(h).twoLevelCdTable || contexts <= CDS)
    return { address: allocateZeroed(h, contexts * ENTRY_BYTES), format: 0, s1cdmax: m.ssidBits, l2: [] };
  return { address: allocateZeroed(h, Math.ceil(contexts / CDS) * 8), format: 2, s1cdmax: m.ssidBits, l2: [] };
}

/** arm_smmu_alloc_cd_ptr: a new leaf is announced with CFGI_CD for all levels. */
export function* cdPointer(h: Host, m: Master, ssid: number): Op<number> {
  m.cdTable ??= makeCdTable(h, m);
  const t = m.cdTable;
  if (t.format === 0) return t.address + ssid * ENTRY_BYTES;
  const index = Math.floor(ssid / CDS);
  let l2 = t.l2.find((x) => x.index === index);
  if (!l2) {
    l2 = { index, address: allocateZeroed(h, CDS * ENTRY_BYTES) };
    t.l2.push(l2);
    const l1cd = encode(l1cdLayout, { V: 1, L2Ptr: BigInt(l2.address) });
    const at = t.address + index * 8;
    h.memory.writeWord(at, l1cd[0]!);
    tableWritten(h, at, l1cd, l1cdLayout.id, `L1CD[${index}] of StreamID ${hex(m.sid)}`);
    yield pause('driver', 'table.write');
    yield* submit(h, h.rules.cdLeafSync(m.sid, ssid));
  }
  return l2.address + (ssid % CDS) * ENTRY_BYTES;
}

/** The CD's address where it exists already, else null. */
export function existingCd(m: Master, ssid: number): number | null {
  const t = m.cdTable;
  if (!t) return null;
  if (t.format === 0) return t.address + ssid * ENTRY_BYTES;
  const l2 = t.l2.find((x) => x.index === Math.floor(ssid / CDS));
  return l2 ? l2.address + (ssid % CDS) * ENTRY_BYTES : null;
}

/** arm_smmu_write_cd_entry */
export function* writeCd(h: Host, m: Master, ssid: number, address: number, target: readonly bigint[]): Op<void> {
  const current = readEntry(h.memory, address);
  const { rules } = h;
  const steps = rules.entrySteps(
    current,
    target,
    rules.cdUsed(current),
    rules.cdUsed(target),
    rules.cdSafe(current, target),
  );
  for (const changed of writeEntry(h.memory, address, steps)) {
    tableWritten(
      h,
      address,
      readEntry(h.memory, address),
      cdLayout.id,
      `CD ${ssid} of StreamID ${hex(m.sid)} ${wordsText(changed)}`,
    );
    yield pause('driver', 'table.write');
    yield* submit(h, rules.cdSync([m.sid], ssid));
  }
}
