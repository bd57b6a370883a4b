import { encode } from '../../bits/index.ts';
import { allocateZeroed } from '../../guest/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import { readEntry } from '../host/entry.ts';
import { l1stdLayout, steLayout } from '../layout/index.ts';
import { writeEntry } from './entry-writer.ts';
import { steId } from './ids.ts';
import { issue } from './queue.ts';
import type { CdTable, GuestDevice, Master, Unit } from './state.ts';

/** StreamID bits below the first level: Linux always uses 8, so a second-level table is 256 STEs. */
export const SPLIT = 8;
const STES = 2 ** SPLIT;
const STE_BYTES = 64;
/** PASID bits at most without two-level CD tables (CTXDESC_LINEAR_CDMAX). */
const LINEAR_BITS = 10;

/** What a transaction without PASID does at an STE with a CD table. */
export const S1DSS = { terminate: 0, bypass: 1, ssid0: 2 } as const;

/**
 * arm_smmu_probe_device: makes sure that the device has an STE (abort, as every STE starts) and works out what it can do.
 * The second-level table is filled before the first level points to it; no command follows.
 */
export function* addMaster(u: Unit, d: GuestDevice): Op<Master> {
  const { strtab, features } = u.state;
  if (!strtab || !features) throw new Error('device probed before the SMMU');
  const { memory, trace } = u.kernel;
  const write = (address: number, words: readonly bigint[], layout: string, text: string): void =>
    trace.listener?.({
      kind: 'table.write',
      actor: 'guest',
      at: u.ids.strtab,
      space: 'guest',
      address,
      words,
      layout,
      text,
    });
  const vsid = d.vrid % 65536;
  const index = Math.floor(vsid / STES);
  let l2 = strtab.l2.find((t) => t.index === index);
  if (!l2) {
    const address = allocateZeroed(u.kernel, STES * STE_BYTES);
    for (let i = 0; i < STES; i++) memory.writeWord(address + i * STE_BYTES, 1n);
    write(address, [1n, ...new Array<bigint>(7).fill(0n)], steLayout.id, `${STES} STEs, all abort`);
    yield pause('guest', 'table.write');
    const l1std = encode(l1stdLayout, { Span: SPLIT + 1, L2Ptr: BigInt(address) });
    memory.writeWord(strtab.base + index * 8, l1std[0]!);
    const range = `0x${(index * STES).toString(16)} to 0x${(index * STES + STES - 1).toString(16)}`;
    write(strtab.base + index * 8, l1std, l1stdLayout.id, `L1STD[${index}]: vSID ${range}`);
    yield pause('guest', 'table.write');
    l2 = { index, address };
    strtab.l2.push(l2);
  }
  const pasidBits = Math.min(d.pasidBits, features.ssidBits);
  const master: Master = {
    name: d.name,
    vsid,
    ssidBits: features.cd2l ? pasidBits : Math.min(pasidBits, LINEAR_BITS),
    maxPasids: pasidBits > 0 ? 2 ** pasidBits : 0,
    ats: d.atsCapable && features.ats,
    stall: (features.stallModel === 0 && d.canStall === true) || features.stallModel === 2,
    atsEnabled: false,
    domain: '',
    pasids: [],
    resetDepth: 0,
    cdTable: null,
    ownTable: null,
    steAddress: l2.address + (vsid % STES) * STE_BYTES,
  };
  u.state.masters.push(master);
  return master;
}

/** Abort or bypass; incoming attributes are kept where they can be overridden at all (arm_smmu_make_bypass_ste). */
export const abortSte = (): bigint[] => encode(steLayout, { V: 1, Config: 0 });
export const bypassSte = (u: Unit): bigint[] =>
  encode(steLayout, { V: 1, Config: 4, SHCFG: u.state.features?.attrTypesOvr ? 1 : 0 });

/** arm_smmu_make_cdtable_ste: stage 1 through a CD table. */
export function cdTableSte(u: Unit, m: Master, t: CdTable, ats: boolean, s1dss: number): bigint[] {
  const f = u.state.features;
  // The driver forbids stalls of devices that can't wait, where the SMMU leaves it a choice.
  const canStall = f?.stallModel === 0 || f?.stallModel === 2;
  return encode(steLayout, {
    V: 1,
    Config: 5,
    S1Fmt: t.format,
    S1ContextPtr: BigInt(t.address),
    S1CDMax: t.s1cdmax,
    S1DSS: s1dss,
    S1CIR: 1,
    S1COR: 1,
    S1CSH: 3,
    S1STALLD: canStall && !m.stall ? 1 : 0,
    EATS: ats ? 1 : 0,
    SHCFG: f?.attrTypesOvr && s1dss === S1DSS.bypass ? 1 : 0,
  });
}

/**
 * arm_smmu_write_ste: each part of the change is followed by its CFGI_STE and CMD_SYNC; a prefetch hint comes last, whether
 * or not anything changed, and nothing waits for it.
 */
export function* writeSte(u: Unit, m: Master, target: bigint[]): Op<void> {
  yield* writeEntry(u, {
    kind: 'ste',
    at: steId(u.ids.scope, m.vsid),
    address: m.steAddress,
    target,
    title: `STE 0x${m.vsid.toString(16)}`,
    sync: () => u.kernel.rules.steSync(m.vsid),
  });
  yield* issue(u, u.kernel.rules.stePrefetch(m.vsid), false);
}

/** True when the STE leads to a CD table; with `ats`, when its EATS is that too (master->cd_table.in_ste, ste_ats_enabled). */
export function hasCdTable(u: Unit, m: Master, ats?: boolean): boolean {
  const ste = readEntry(u.kernel.memory, m.steAddress);
  if ((ste[0]! & 0xfn) !== 0xbn) return false;
  return ats === undefined || (((ste[1]! >> 28n) & 3n) === 1n) === ats;
}
