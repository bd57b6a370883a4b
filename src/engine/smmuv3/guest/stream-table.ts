import { encode } from '../../bits/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import { writeEntry as changes, readEntry, wordsText } from '../host/entry.ts';
import { cdLayout, l1stdLayout, steLayout } from '../layout/index.ts';
import { submit } from './queue.ts';
import type { CdTable, Domain, Guest, GuestDevice, Master } from './state.ts';

/** StreamID bits below the first level: Linux always uses 8, so a second-level table is 256 STEs. */
export const SPLIT = 8;
const STES = 2 ** SPLIT;
const STE_BYTES = 64;

/** Pages from the guest's allocator with every word zero (dma_alloc_coherent). */
export function allocateZeroed(g: Guest, size: number): number {
  const at = g.pages.alloc(size);
  for (let a = at; a < at + size; a += 4) if (g.memory.read32(a) !== 0) g.memory.write32(a, 0);
  return at;
}

/**
 * arm_smmu_probe_device: makes sure that the device has an STE (abort, as every STE starts) and works out what it can do.
 * The second-level table is filled before the first level points to it; no command follows.
 */
export function* addMaster(g: Guest, d: GuestDevice): Op<Master> {
  const { strtab, features } = g.state;
  if (!strtab || !features) throw new Error('device probed before the SMMU');
  const vsid = d.vrid % 65536;
  const index = Math.floor(vsid / STES);
  let l2 = strtab.l2.find((t) => t.index === index);
  if (!l2) {
    const address = allocateZeroed(g, STES * STE_BYTES);
    for (let i = 0; i < STES; i++) g.memory.writeWord(address + i * STE_BYTES, 1n);
    tableWrite(g, 'guest.strtab', address, [1n, ...zeros(7)], steLayout.id, `${STES} STEs, all abort`);
    yield pause('guest', 'table.write');
    const l1std = encode(l1stdLayout, { Span: SPLIT + 1, L2Ptr: BigInt(address) });
    g.memory.writeWord(strtab.base + index * 8, l1std[0]!);
    const range = `0x${(index * STES).toString(16)} to 0x${(index * STES + STES - 1).toString(16)}`;
    tableWrite(g, 'guest.strtab', strtab.base + index * 8, l1std, l1stdLayout.id, `L1STD[${index}]: vSID ${range}`);
    yield pause('guest', 'table.write');
    l2 = { index, address };
    strtab.l2.push(l2);
  }
  // A linear CD table is all that a vSMMU without IDR0.CD2L offers; the driver then caps it at 2^10 descriptors.
  const ssidBits = Math.min(d.pasidBits, features.ssidBits, features.cd2l ? 20 : 10);
  const master: Master = {
    name: d.name,
    vsid,
    ssidBits,
    ats: d.atsCapable && features.ats,
    atsEnabled: false,
    domain: '',
    joining: '',
    cdTable: null,
    ownTable: null,
    steAddress: l2.address + (vsid % STES) * STE_BYTES,
  };
  g.state.masters.push(master);
  return master;
}

/** arm_smmu_alloc_cd_tables for a linear table: no descriptor is valid yet and no command is needed. */
export function allocateCdTable(g: Guest, m: Master): CdTable {
  if (!m.ownTable) {
    const shape = { owner: m.name, s1cdmax: m.ssidBits };
    m.ownTable = { ...shape, address: allocateZeroed(g, cdTableBytes(shape)) };
  }
  return m.ownTable;
}

export const cdTableBytes = (t: Pick<CdTable, 's1cdmax'>): number => 2 ** t.s1cdmax * STE_BYTES;

/** Abort or bypass; the vSMMU has no attribute override, so bypass is word 0 alone. */
export const abortSte = (): bigint[] => encode(steLayout, { V: 1, Config: 0 });
export const bypassSte = (): bigint[] => encode(steLayout, { V: 1, Config: 4 });

/** arm_smmu_make_cdtable_ste: stage 1 through a CD table; a transaction without SubstreamID uses CD 0. */
export const stage1Ste = (t: CdTable, ats: boolean): bigint[] =>
  encode(steLayout, {
    V: 1,
    Config: 5,
    S1Fmt: 0,
    S1ContextPtr: BigInt(t.address),
    S1CDMax: t.s1cdmax,
    S1DSS: 2,
    S1CIR: 1,
    S1COR: 1,
    S1CSH: 3,
    EATS: ats ? 1 : 0,
  });

/** arm_smmu_make_s1_cd: the lower half of the address space through the domain's table, faults recorded and aborted. */
export function stage1Cd(g: Guest, domain: Domain): bigint[] {
  const { walk, root } = g.table(domain);
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
    R: 1,
    A: 1,
    ASET: 1,
    ASID: domain.asid,
    TTB0: BigInt(root),
    MAIR: 0xf404ff44n,
  });
}

/** Changes the STE of a device; each part of the change is followed by its CFGI_STE and CMD_SYNC. */
export function* writeSte(g: Guest, m: Master, target: bigint[]): Op<void> {
  const at = `guest.ste.0x${m.vsid.toString(16)}`;
  yield* writeEntry(g, 'ste', at, m.steAddress, target, `STE 0x${m.vsid.toString(16)}`, () => g.rules.steSync(m.vsid));
}

/** Changes CD `ssid` of a table; every stream in `sids` reaches it. */
export function* writeCd(g: Guest, t: CdTable, ssid: number, target: bigint[], sids: number[], by: number): Op<void> {
  const at = `guest.cdtable.${t.owner}`;
  const sync = () => g.rules.cdSync(sids, ssid, by);
  yield* writeEntry(g, 'cd', at, t.address + ssid * STE_BYTES, target, `CD ${ssid} of ${t.owner}`, sync);
}

function* writeEntry(
  g: Guest,
  kind: 'ste' | 'cd',
  at: string,
  address: number,
  target: bigint[],
  title: string,
  sync: () => bigint[][],
): Op<void> {
  const steps = g.rules.entrySteps(kind, readEntry(g.memory, address), target);
  for (const changed of changes(g.memory, address, steps)) {
    if (g.trace.listener) {
      const layout = kind === 'ste' ? steLayout.id : cdLayout.id;
      tableWrite(g, at, address, readEntry(g.memory, address), layout, `${title}: ${wordsText(changed)} written`);
    }
    yield pause('guest', 'table.write');
    yield* submit(g, sync());
  }
}

function tableWrite(
  g: Guest,
  at: string,
  address: number,
  words: readonly bigint[],
  layout: string,
  text: string,
): void {
  g.trace.listener?.({ kind: 'table.write', actor: 'guest', at, space: 'guest', address, words, layout, text });
}

const zeros = (n: number): bigint[] => new Array<bigint>(n).fill(0n);
