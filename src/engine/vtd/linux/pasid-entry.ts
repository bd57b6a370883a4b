import type { Errno } from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import { pasidLayout } from '../layout/index.ts';
import type { DeviceInfo } from './device-info.ts';
import { wholeDeviceTlb } from './device-tlb.ts';
import { DEFAULT_DID, type Domain } from './domain.ts';
import { drainPasid } from './drain.ts';
import { capsOf, type IntelIommu, type Kernel, log } from './kernel.ts';
import { flushWriteBuffer } from './mmio.ts';
import { submitEach } from './queue.ts';
import { PGTT } from './rules.ts';
import { clearWrites, type Entry, type FieldWrite, pasidAddressMade, writeFields } from './tables.ts';

/** PASID table entries: set up, changed, torn down, each with its flushes (pasid.c). */

const P = 1n;
const FPD = 2n;
const SSADE = 0x200n;
const PGSNP = 0x1000000n;
const ADDRESS = ~0xfffn & (2n ** 64n - 1n);

const set = (word: number, mask: bigint, bits: bigint): FieldWrite => ({ word, mask, bits });
const flag = (word: number, bit: number, on: boolean): FieldWrite =>
  set(word, 1n << BigInt(bit), on ? 1n << BigInt(bit) : 0n);

const fspm = (five: boolean): FieldWrite[] => (five ? [set(2, 0xcn, 4n)] : []);
const fsptptr = (address: bigint): FieldWrite => set(2, ADDRESS, address);
const ssptptr = (address: bigint): FieldWrite => set(0, ADDRESS, address);
const did = (id: number): FieldWrite => set(1, 0xffffn, BigInt(id));
const width = (aw: number): FieldWrite => set(0, 0x1cn, BigInt(aw) << 2n);
const pgtt = (type: number): FieldWrite => set(0, 0x1c0n, BigInt(type) << 6n);
const pwsnp = (on: boolean): FieldWrite => flag(1, 23, on);
const pgsnp = (on: boolean): FieldWrite[] => (on ? [flag(1, 24, true)] : []);
const ssade = (on: boolean): FieldWrite[] => (on ? [flag(0, 9, true)] : []);
const faultEnable: FieldWrite = flag(0, 1, false);
const present: FieldWrite = { word: 0, mask: P, bits: P, publish: true };

const S1 = { sre: 1, eafe: 2, wpe: 4 };

/** The assignments of an entry, in the kernel's order, without P: pasid.c pasid_pte_config_*. */
export function entryFields(k: Kernel, unit: number, domain: Domain, id: number): FieldWrite[] {
  const c = capsOf(k, unit);
  switch (domain.kind) {
    case 'fs':
    case 'sva':
      return [
        fsptptr(domain.root),
        ...fspm(domain.levels === 5),
        ...pgsnp(domain.forceSnooping),
        did(id),
        width(c.agaw),
        pwsnp(domain.kind === 'sva' || c.smpwcs),
        pgtt(PGTT.firstStage),
      ];
    case 'ss':
      return [
        did(id),
        ssptptr(domain.root),
        width(domain.levels - 2),
        pgtt(PGTT.secondStage),
        faultEnable,
        pwsnp(domain.coherent),
        ...ssade(k.rules.dirtyOnAttach(domain.dirtyTracking)),
      ];
    case 'nested': {
      const parent = k.state.domains.get(domain.parent)!;
      const has = (f: number): boolean => (domain.s1Flags & f) !== 0;
      return [
        ...fspm(domain.s1Width === 57),
        // The address is put in as it came, low bits and all.
        set(2, ADDRESS, BigInt.asUintN(64, domain.root)),
        ...(has(S1.sre) ? [flag(2, 0, true), ...(has(S1.wpe) ? [flag(2, 4, true)] : [])] : []),
        ...(has(S1.eafe) ? [flag(2, 7, true)] : []),
        ...pgsnp(parent.forceSnooping),
        ssptptr(parent.root),
        faultEnable,
        did(id),
        width(parent.levels - 2),
        pwsnp(parent.coherent),
        ...ssade(k.rules.dirtyOnAttach(parent.dirtyTracking)),
        pgtt(PGTT.nested),
      ];
    }
    case 'identity':
      return [did(id), width(c.agaw), pgtt(PGTT.passThrough), faultEnable, pwsnp(c.smpwcs)];
    case 'blocked':
      throw new Error('the blocking domain has no entry');
  }
}

/** DID that a domain has in a unit: SVA and pass-through share the reserved one. */
export function didOf(domain: Domain, unit: number): number {
  if (domain.kind === 'sva' || domain.kind === 'identity' || domain.kind === 'blocked') return DEFAULT_DID;
  const use = domain.dids.find((x) => x.unit === unit);
  if (!use) throw new Error(`domain ${domain.handle} has no DID in unit ${unit}`);
  return use.did;
}

function* entryOf(k: Kernel, u: IntelIommu, d: DeviceInfo, pasid: number): Op<Entry | null> {
  const address = yield* pasidAddressMade(k, u, d, pasid);
  if (address === null) return null;
  return {
    address,
    layout: pasidLayout,
    at: u.ids.pasid(d.sid, pasid),
    name: `PASID entry of ${d.name}, PASID 0x${pasid.toString(16)}`,
  };
}

/** Checks of each kind before the table is touched; pasid.c intel_pasid_setup_first_level, _second_level, _nested. */
function unsupported(k: Kernel, u: IntelIommu, d: DeviceInfo, domain: Domain): Errno {
  const c = capsOf(k, u.index);
  const refuse = (text: string): Errno => {
    log(k, u.ids.driver, text);
    return 'EINVAL';
  };
  switch (domain.kind) {
    case 'fs':
    case 'sva':
      if (!c.fsts) return refuse(`DMAR: No first level translation support on ${u.name}`);
      if (domain.levels === 5 && !c.fs5lp)
        return refuse(`DMAR: No 5-level paging support for first-level on ${u.name}`);
      return '0';
    case 'ss':
      return c.ssts ? '0' : refuse(`DMAR: No second level translation support on ${u.name}`);
    case 'nested':
      if (domain.s1Width === 57 && !c.fs5lp) return refuse(`${d.name}: 5-level paging not supported`);
      if (domain.s1Width !== 48 && domain.s1Width !== 57)
        return refuse(`${d.name}: Invalid stage-1 address width ${domain.s1Width | 0}`);
      if (domain.s1Flags & S1.sre && !c.srs) return refuse(`DMAR: No supervisor request support on ${u.name}`);
      if (domain.s1Flags & S1.eafe && !c.eafs) return refuse(`DMAR: No extended access flag support on ${u.name}`);
      return '0';
    default:
      return '0';
  }
}

/**
 * Makes an entry present: fields first, P last, then the flushes of caching mode.
 * @returns EINVAL for what the unit cannot do, ENODEV beyond the directory, EBUSY for an entry that is present
 */
export function* setUpEntry(k: Kernel, u: IntelIommu, d: DeviceInfo, pasid: number, domain: Domain): Op<Errno> {
  const refused = unsupported(k, u, d, domain);
  if (refused !== '0') return refused;
  const e = yield* entryOf(k, u, d, pasid);
  if (!e) return 'ENODEV';
  if (k.bus.readWord(e.address) & P) return 'EBUSY';
  const id = didOf(domain, u.index);
  yield* writeFields(k, e, [...clearWrites(8), ...entryFields(k, u.index, domain, id), present]);
  yield* settle(k, u, id, pasid);
  return '0';
}

/** pasid_flush_caches */
function* settle(k: Kernel, u: IntelIommu, id: number, pasid: number): Op<void> {
  const c = capsOf(k, u.index);
  if (c.cm) yield* submitEach(k, u, k.rules.entrySetUp(c.cm, id, pasid));
  else yield* flushWriteBuffer(k, u);
}

/**
 * intel_pasid_tear_down_entry. `ignoreFaults`: the process is exiting, its page requests are not drained.
 * An entry that is all zero is left alone.
 */
export function* tearDownEntry(k: Kernel, u: IntelIommu, d: DeviceInfo, pasid: number, ignoreFaults = false): Op<void> {
  const e = yield* entryOf(k, u, d, pasid);
  if (!e) return;
  const word = k.bus.readWord(e.address);
  if (!(word & P)) {
    if (!(word & FPD)) return;
    yield* writeFields(k, e, clearWrites(8));
    yield* drainPasid(k, u, d, pasid);
    return;
  }
  const id = Number(k.bus.readWord(e.address + 8) & 0xffffn);
  const type = Number((word >> 6n) & 7n);
  const wipe = k.rules.tearDownOrder() === 'wipe first';
  // Nothing orders these stores for the unit: it may see the one with P last.
  yield* writeFields(k, e, wipe ? clearWrites(8).reverse() : [set(0, P, 0n)]);
  const devTlb = wholeDeviceTlb(k, u, d, pasid);
  yield* submitEach(k, u, k.rules.entryTornDown(type, id, pasid, devTlb, capsOf(k, u.index)));
  if (!wipe) yield* writeFields(k, e, clearWrites(8));
  if (!ignoreFaults) yield* drainPasid(k, u, d, pasid);
}

/** Overwrites a present entry; only a deviation does that (intel_pasid_replace_* of Linux v6.13). */
export function* replaceEntry(k: Kernel, u: IntelIommu, d: DeviceInfo, pasid: number, domain: Domain): Op<Errno> {
  const refused = unsupported(k, u, d, domain);
  if (refused !== '0') return refused;
  const e = yield* entryOf(k, u, d, pasid);
  if (!e) return 'ENODEV';
  const old = k.bus.readWord(e.address);
  if (!(old & P)) return 'EINVAL';
  const oldDid = Number(k.bus.readWord(e.address + 8) & 0xffffn);
  const words = [0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n];
  for (const w of [...entryFields(k, u.index, domain, didOf(domain, u.index)), present])
    words[w.word] = (words[w.word]! & ~w.mask) | w.bits;
  yield* writeFields(
    k,
    e,
    words.map((bits, word) => ({ word, mask: 2n ** 64n - 1n, bits })),
  );
  const devTlb = wholeDeviceTlb(k, u, d, pasid);
  const type = Number((old >> 6n) & 7n);
  yield* submitEach(k, u, k.rules.entryTornDown(type, oldDid, pasid, devTlb, capsOf(k, u.index)));
  yield* drainPasid(k, u, d, pasid);
  return '0';
}

/**
 * Sets or clears SSADE of a present entry (intel_pasid_setup_dirty_tracking); nothing is sent when it is so already.
 * @returns ENODEV beyond the directory, EOPNOTSUPP for an entry without second stage
 */
export function* setDirtyEntry(k: Kernel, u: IntelIommu, d: DeviceInfo, pasid: number, on: boolean): Op<Errno> {
  const e = yield* entryOf(k, u, d, pasid);
  if (!e) {
    log(k, u.ids.driver, `${d.name}: Failed to get pasid entry of PASID ${pasid}`);
    return 'ENODEV';
  }
  const word = k.bus.readWord(e.address);
  const type = Number((word >> 6n) & 7n);
  if (type !== PGTT.secondStage && type !== PGTT.nested) {
    log(k, u.ids.driver, `${d.name}: Dirty tracking not supported on translation type ${type}`);
    return 'EOPNOTSUPP';
  }
  if (((word & SSADE) !== 0n) === on) return '0';
  const id = Number(k.bus.readWord(e.address + 8) & 0xffffn);
  yield* writeFields(k, e, [flag(0, 9, on)]);
  const devTlb = wholeDeviceTlb(k, u, d, pasid);
  yield* submitEach(k, u, k.rules.dirtyToggled(id, pasid, devTlb, capsOf(k, u.index)));
  return '0';
}

/** Sets PGSNP of a present entry (intel_pasid_setup_page_snoop_control); one that is not present is left alone. */
export function* setPageSnoop(k: Kernel, u: IntelIommu, d: DeviceInfo, pasid: number): Op<void> {
  const e = yield* entryOf(k, u, d, pasid);
  if (!e || !(k.bus.readWord(e.address) & P)) return;
  const id = Number(k.bus.readWord(e.address + 8) & 0xffffn);
  yield* writeFields(k, e, [set(1, PGSNP, PGSNP)]);
  yield* submitEach(k, u, k.rules.entryChanged(id, pasid, wholeDeviceTlb(k, u, d, pasid)));
}
