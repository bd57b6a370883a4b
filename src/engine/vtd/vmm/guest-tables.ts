import { ENTRY_WORDS, fspmOf, isPresent, pgttOf } from './pasid-entry.ts';
import type { UnitContext } from './state.ts';

/**
 * Root, context and PASID tables in guest memory, as the model reads them: with its own, sometimes legacy, fault codes and
 * its own checks (hw/i386/intel_iommu.c). A number in place of words is the code.
 */

const [ROOT_P, CONTEXT_P, ROOT_ACCESS, CONTEXT_ACCESS, ROOT_RSVD, CONTEXT_RSVD, TTM] = [1, 2, 8, 9, 0xa, 0xb, 0x31];
const [DIR_ACCESS, DIR_P, PASID_ACCESS, PASID_P, PASID_INVALID] = [0x50, 0x51, 0x58, 0x59, 0x5b];

const PRESENT = 1n;
const FPD = 2n;
/** Bits of an entry that hold an address, and those above the vIOMMU's width of 48 bits. */
const ADDRESS = 0x0000_ffff_ffff_f000n;
const TABLE = ~0xfffn;
const ABOVE = 0xffff_0000_0000_0000n;
const ROOT_RESERVED = 0xffen | ABOVE;
const CONTEXT_RESERVED = [0x1e0n | ABOVE, 0xffff_ffff_ffe0_0000n, -1n, -1n] as const;
const PASIDS_PER_TABLE = 64;
/** Directory entries of a page. */
const DIRECTORY_PAGE = 512;
const ECAP = { pt: 1n << 6n, ssts: 1n << 46n, fsts: 1n << 47n } as const;

/** Consecutive words, null where there is no memory. */
function read(u: UnitContext, address: bigint, words: number): bigint[] | null {
  const at = Number(address);
  if (!u.vmm.memory.contains(at, words * 8)) return null;
  return Array.from({ length: words }, (_, i) => u.vmm.memory.readWord(at + i * 8));
}

/**
 * vtd_dev_to_context_entry: the context entry of a device. In scalable mode its PASID 0 entry must be valid as well.
 * @returns four words, two in legacy mode, or the fault code
 */
export function contextEntry(u: UnitContext, rid: number): bigint[] | number {
  const found = bareContextEntry(u, rid);
  if (typeof found === 'number' || !u.state.rootScalable || !u.vmm.rules.needsPasidZero()) return found;
  const zero = pasidEntryAt(u, found, 0);
  return typeof zero === 'number' ? zero : found;
}

function bareContextEntry(u: UnitContext, rid: number): bigint[] | number {
  const { root, rootScalable } = u.state;
  const [bus, devfn] = [rid >> 8, rid & 0xff];
  const re = read(u, BigInt(root + bus * 16), 2);
  if (!re) return ROOT_ACCESS;
  const upper = rootScalable && devfn > 127;
  const half = re[upper ? 1 : 0]!;
  if (!(half & PRESENT)) return ROOT_P;
  if (re[0]! & ROOT_RESERVED || re[1]! & (rootScalable ? ROOT_RESERVED : -1n)) return ROOT_RSVD;
  const size = rootScalable ? 32 : 16;
  const ce = read(u, (half & ADDRESS) + BigInt((rootScalable ? devfn & 127 : devfn) * size), size / 8);
  if (!ce) return CONTEXT_ACCESS;
  if (!(ce[0]! & PRESENT)) return CONTEXT_P;
  if (rootScalable && ce.some((w, i) => w & CONTEXT_RESERVED[i]!)) return CONTEXT_RSVD;
  return ce;
}

/** Context entry: page requests are allowed. */
export const allowsPageRequests = (context: readonly bigint[]): boolean => (context[0]! & 0x10n) !== 0n;

/** PASIDs that the directory of a scalable context entry has room for: 2^(PDTS + 13). */
export const pasidLimit = (context: readonly bigint[]): number => 2 ** (Number((context[0]! >> 9n) & 7n) + 13);

/** vtd_dev_get_pe_from_pasid: eight words of a present, valid PASID entry, or the fault code. */
export function pasidEntry(u: UnitContext, rid: number, pasid: number): bigint[] | number {
  if (!u.state.rootScalable) return TTM;
  const context = contextEntry(u, rid);
  return typeof context === 'number' ? context : pasidEntryAt(u, context, pasid);
}

/** The same without QEMU's demand for a valid PASID 0 entry: what the guest's tables say. */
export function pasidEntryInTables(u: UnitContext, rid: number, pasid: number): bigint[] | number {
  if (!u.state.rootScalable) return TTM;
  const context = bareContextEntry(u, rid);
  return typeof context === 'number' ? context : pasidEntryAt(u, context, pasid);
}

/** vtd_ce_get_pasid_entry */
function pasidEntryAt(u: UnitContext, context: readonly bigint[], pasid: number): bigint[] | number {
  const dir = directoryEntry(u, context, pasid);
  if (dir === null) return DIR_ACCESS;
  if (!(dir & PRESENT)) return DIR_P;
  const entry = tableEntry(u, dir, pasid);
  if (typeof entry === 'number') return entry;
  return isPresent(entry) ? entry : PASID_P;
}

const directoryEntry = (u: UnitContext, context: readonly bigint[], pasid: number): bigint | null =>
  read(u, (context[0]! & TABLE) + BigInt(Math.floor(pasid / PASIDS_PER_TABLE) * 8), 1)?.[0] ?? null;

const entryAddress = (dir: bigint, pasid: number): bigint =>
  (dir & TABLE) + BigInt((pasid % PASIDS_PER_TABLE) * ENTRY_WORDS * 8);

/** vtd_get_pe_in_pasid_leaf_table: the type is looked at before the present bit, so an entry of zeros is invalid. */
function tableEntry(u: UnitContext, dir: bigint, pasid: number): bigint[] | number {
  const entry = read(u, entryAddress(dir, pasid), ENTRY_WORDS);
  if (!entry) return PASID_ACCESS;
  return isOffered(u, entry) ? entry : PASID_INVALID;
}

/** vtd_pe_type_check and the level checks: nested entries are never taken, first stages have four levels. */
function isOffered(u: UnitContext, entry: readonly bigint[]): boolean {
  const ecap = u.state.registers['ECAP_REG'] ?? 0n;
  switch (pgttOf(entry)) {
    case 1:
      return (ecap & ECAP.fsts) !== 0n && fspmOf(entry) === 0;
    case 2:
      return (ecap & ECAP.ssts) !== 0n;
    case 4:
      return (ecap & ECAP.pt) !== 0n;
    default:
      return false;
  }
}

/** vtd_ce_get_pasid_fpd: FPD of the directory or PASID entry, present or not. */
export function pasidFpd(u: UnitContext, context: readonly bigint[], pasid: number): boolean {
  const dir = directoryEntry(u, context, pasid);
  if (dir === null) return false;
  if (dir & FPD) return true;
  if (!(dir & PRESENT)) return false;
  const entry = tableEntry(u, dir, pasid);
  return typeof entry !== 'number' && (entry[0]! & FPD) !== 0n;
}

export const contextFpd = (context: readonly bigint[]): boolean => (context[0]! & FPD) !== 0n;

/**
 * vtd_sm_pasid_table_walk: calls `visit` for each valid, present entry of PASIDs from `start` up to but not including `end`.
 * The tables are read on the way: what `visit` does may take time.
 */
export function* walkPasidTable<T>(
  u: UnitContext,
  context: readonly bigint[],
  start: number,
  end: number,
  visit: (pasid: number, entry: bigint[]) => Generator<T, void, void>,
): Generator<T, void, void> {
  const base = Number(context[0]! & TABLE);
  let page: Uint8Array | null = null;
  for (let pasid = start; pasid < end; ) {
    const index = Math.floor(pasid / PASIDS_PER_TABLE);
    const next = Math.min((index + 1) * PASIDS_PER_TABLE, end);
    // Most of a directory is empty, so it is looked through a page a time. Outside memory it reads as 0.
    if (index % DIRECTORY_PAGE === 0) page = null;
    page ??= u.vmm.memory.readBytes(base + (index - (index % DIRECTORY_PAGE)) * 8, DIRECTORY_PAGE * 8);
    if (page[(index % DIRECTORY_PAGE) * 8]! & 1) {
      const dir = directoryEntry(u, context, pasid) ?? 0n;
      for (let p = pasid; p < next && dir & PRESENT; p++) {
        if (!(u.vmm.memory.read32(Number(entryAddress(dir, p))) & 1)) continue;
        const entry = tableEntry(u, dir, p);
        if (typeof entry !== 'number' && isPresent(entry)) yield* visit(p, entry);
      }
      // Others may have written meanwhile.
      page = null;
    }
    pasid = next;
  }
}
