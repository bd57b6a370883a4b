import { encode } from '../../bits/index.ts';
import { allocateZeroed } from '../../guest/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import { walkParameters } from '../../pagetable/vmsav8-table.ts';
import { cdLayout, l1cdLayout } from '../layout/index.ts';
import { writeEntry } from './entry-writer.ts';
import { cdTableId } from './ids.ts';
import { submit } from './queue.ts';
import { type CdTable, type Domain, type Master, type Process, type Unit, usersOf } from './state.ts';

const CD_BYTES = 64;
/** Descriptors in a second-level table: Linux uses the 64 KiB form only (S1Fmt 2). */
const L2_CDS = 1024;
/** MAIR_EL1 of the kernel: 0 and 1 write-back, 2 non-cacheable, 3 Device-nGnRnE, 4 Device-nGnRE. */
export const CPU_MAIR = 0x040044ffffn;
const DMA_MAIR = 0xf404ff44n;
const PA_CODES: Readonly<Record<number, number>> = { 32: 0, 36: 1, 40: 2, 42: 3, 44: 4, 48: 5, 52: 6 };

/** Bytes of the table that the STE points to. */
export const cdTableBytes = (t: Pick<CdTable, 's1cdmax' | 'format'>): number =>
  t.format === 0 ? 2 ** t.s1cdmax * CD_BYTES : Math.ceil(2 ** t.s1cdmax / L2_CDS) * 8;

/**
 * arm_smmu_alloc_cd_tables: linear when the SMMU has no other form or 1024 descriptors are enough, else two levels. No
 * descriptor is valid yet and no command is needed.
 */
export function ownTable(u: Unit, m: Master): CdTable {
  if (!m.ownTable) {
    const format = u.state.features?.cd2l && 2 ** m.ssidBits > L2_CDS ? 2 : 0;
    const shape = { owner: m.name, s1cdmax: m.ssidBits, format, l2: [] } as const;
    m.ownTable = { ...shape, l2: [], address: allocateZeroed(u.kernel, cdTableBytes(shape)) };
  }
  return m.ownTable;
}

/** Gives the pages of a table back. */
export function freeTable(u: Unit, t: CdTable): void {
  u.kernel.pages.release(t.address, cdTableBytes(t));
  for (const l2 of t.l2) u.kernel.pages.release(l2.address, L2_CDS * CD_BYTES);
}

/** Address of a descriptor, null where the table has none (arm_smmu_get_cd_ptr). */
export function cdAddress(t: CdTable, ssid: number): number | null {
  if (ssid >= 2 ** t.s1cdmax) return null;
  if (t.format === 0) return t.address + ssid * CD_BYTES;
  const l2 = t.l2.find((x) => x.index === Math.floor(ssid / L2_CDS));
  return l2 ? l2.address + (ssid % L2_CDS) * CD_BYTES : null;
}

/**
 * arm_smmu_alloc_cd_ptr: the descriptor's address, after adding the second-level table that it lies in. An L1CD may be
 * cached although it was invalid, so it is invalidated.
 * @returns null when the table has no such SSID
 */
export function* makeCd(u: Unit, m: Master, t: CdTable, ssid: number): Op<number | null> {
  if (t.format === 2 && ssid < 2 ** t.s1cdmax && cdAddress(t, ssid) === null) {
    const index = Math.floor(ssid / L2_CDS);
    const { memory, trace, rules } = u.kernel;
    const address = allocateZeroed(u.kernel, L2_CDS * CD_BYTES);
    t.l2.push({ index, address });
    const words = encode(l1cdLayout, { V: 1, L2Ptr: BigInt(address) });
    memory.writeWord(t.address + index * 8, words[0]!);
    trace.listener?.({
      kind: 'table.write',
      actor: 'guest',
      at: cdTableId(u.ids.scope, t.owner),
      space: 'guest',
      address: t.address + index * 8,
      words,
      layout: l1cdLayout.id,
      text: `L1CD[${index}] of ${t.owner}: SSID ${index * L2_CDS} to ${(index + 1) * L2_CDS - 1}`,
    });
    yield pause('guest', 'table.write');
    yield* submit(u, rules.cdTableSync([m.vsid, ...othersOf(u, t, m)], ssid));
  }
  return cdAddress(t, ssid);
}

const othersOf = (u: Unit, t: CdTable, m: Master): number[] => usersOf(u, t).flatMap((o) => (o === m ? [] : [o.vsid]));

/**
 * arm_smmu_write_cd_entry for every stream that reaches the table.
 * @param writer the device whose attach changes it
 */
export function* writeCd(u: Unit, writer: Master, t: CdTable, ssid: number, target: bigint[]): Op<void> {
  const address = cdAddress(t, ssid);
  if (address === null) return;
  const sids = [writer.vsid, ...othersOf(u, t, writer)];
  yield* writeEntry(u, {
    kind: 'cd',
    at: cdTableId(u.ids.scope, t.owner),
    address,
    target,
    title: `CD ${ssid} of ${t.owner}`,
    sync: () => u.kernel.rules.cdSync(sids, ssid, writer.vsid),
  });
}

export const noCd = (): bigint[] => new Array<bigint>(8).fill(0n);

/**
 * arm_smmu_make_s1_cd: the lower half of the address space through the domain's table. Faults are recorded, and abort unless
 * the device can wait for them.
 */
export function domainCd(m: Master, d: Domain): bigint[] {
  const walk = walkParameters({ stage: 1, ...d });
  return encode(cdLayout, {
    T0SZ: walk.tsz,
    TG0: walk.tg,
    IR0: walk.irgn,
    OR0: walk.orgn,
    SH0: walk.sh,
    EPD1: 1,
    V: 1,
    IPS: walk.ps,
    AA64: 1,
    S: m.stall ? 1 : 0,
    R: 1,
    A: 1,
    ASET: 1,
    ASID: d.asid,
    TTB0: BigInt(d.root),
    MAIR: DMA_MAIR,
  });
}

/**
 * arm_smmu_make_sva_cd: the process's own page table as its CPUs walk it; `quiet` once the process has gone: valid, so that
 * accesses abort without an event, but both halves switched off.
 */
export function processCd(u: Unit, m: Master, asid: number, p: Process, form: 'walks' | 'quiet'): bigint[] {
  const { cpu, page } = u.kernel;
  const f = u.state.features;
  const paBits = cpu?.paBits ?? Math.min(f?.oas ?? 44, 48);
  // A forced stall model leaves the driver no choice; otherwise a quiet CD neither waits nor reports.
  const reports = form === 'walks' || f?.stallModel === 2;
  const base = {
    EPD1: 1,
    V: 1,
    IPS: PA_CODES[paBits]!,
    AA64: 1,
    S: m.stall && reports ? 1 : 0,
    R: reports ? 1 : 0,
    A: 1,
    ASET: 1,
    ASID: asid,
    MAIR: CPU_MAIR,
  };
  if (form === 'quiet') return encode(cdLayout, { ...base, EPD0: 1 });
  const tg = { 4096: 0, 65536: 1, 16384: 2 }[page];
  return encode(cdLayout, { ...base, T0SZ: 16, TG0: tg, IR0: 1, OR0: 1, SH0: 3, TTB0: BigInt(p.pgd) });
}
