import { type MachineRules, machineRules } from '../../vmm/index.ts';
import { ALL_PAGES, encodePageRequest } from '../layout/index.ts';
import { type HwptData, pgttOf, s1DataOf } from './pasid-entry.ts';

/** A P_IOTLB_INV of the guest. */
export interface GuestFlush {
  readonly did: number;
  readonly pasid: number;
  /** null: the whole PASID. */
  readonly range: { readonly address: bigint; readonly am: number; readonly leaf: boolean } | null;
}

/** What a PC_INV asks for. Others act as a global one: CC_INV of everything, TE, SRTP. */
export interface PasidRequest {
  readonly kind: 'domain' | 'pasid' | 'global';
  readonly did: number;
  readonly pasid: number;
}

/** Which descriptors an invalidation queue takes. */
export interface DescriptorQuery {
  /** Bits 3:0, with bits 11:9 as bits 6:4. */
  readonly type: number;
  /** Four words; the last two are 0 in a 128-bit queue. */
  readonly words: readonly bigint[];
  readonly wide: boolean;
  /** ECAP.PDS: a wait descriptor may drain page requests. */
  readonly drains: boolean;
}

/** A page request as the kernel gave it, for the guest's queue. */
export type GuestPageRequest = Parameters<typeof encodePageRequest>[0];

/**
 * Where a batch of invalidations may have to end: at a wait, at a descriptor with an effect of its own on the kernel
 * (context cache, PASID cache, page group response), at the end of the queue.
 */
export type BatchEnd = 'wait' | 'local' | 'empty';

/** What makes the VMM read the guest's PASID tables again. */
export type Replay = 'srtp' | 'te' | 'cc-global';

/**
 * What QEMU's intel_iommu with nesting decides, one rule for each decision (hw/i386/intel_iommu.c, intel_iommu_accel.c,
 * hw/vfio/iommufd.c). The rules of batches are those of a careful VMM, since QEMU has none. A deviation replaces one by name.
 */
export interface VmmRules extends MachineRules {
  /** Does the queue take a descriptor with these reserved bits? */
  accepts(q: DescriptorQuery): boolean;
  /** The type of a descriptor. */
  typeOf(word: bigint): number;
  /** Largest AM that a range may have. */
  largestMask(): number;
  /** A descriptor that is refused: the queue stops at it, or it is passed over. */
  refused(): 'stop' | 'skip';
  /** Does a read of IQA_REG give back the width of descriptors that was written? */
  showsQueueWidth(): boolean;
  /** Does clearing FSTS.IQE make the queue go on by itself? */
  iqeClearRestarts(): boolean;

  /** Is this P_IOTLB_INV handed to the kernel? */
  forwards(f: GuestFlush): boolean;
  /** Is a binding with that DID and PASID meant? */
  matches(f: GuestFlush, did: number, pasid: number): boolean;
  /** Of all bindings that match, newest first for each device: those that get an ioctl. */
  targets<T>(matching: readonly T[]): readonly T[];
  /** addr, npages, flags for the kernel. */
  flushEntry(f: GuestFlush): readonly bigint[];
  /** When an invalidation reaches the kernel: while its descriptor is handled, or when the next doorbell comes. */
  sends(): 'at-once' | 'next-doorbell';
  /** Is a batch of invalidations sent there? */
  endsBatch(at: BatchEnd): boolean;
  /** An ioctl failed part-way: go on behind the entry that failed, or give the rest up. */
  afterBatchError(): 'rest' | 'drop';

  /** Is a PC_INV acted on for the devices of the host? */
  readsPasidTable(r: PasidRequest): boolean;
  /** Does a request concern a binding, by what the VMM remembers of it? */
  concerns(r: PasidRequest, did: number, pasid: number): boolean;
  /** Does a request concern an entry that the walk of the guest's table finds? */
  picks(r: PasidRequest, did: number): boolean;
  /** Has a guest entry changed so that its HWPT must be replaced? */
  differs(was: readonly bigint[], is: readonly bigint[]): boolean;
  /** Is a device's table unreadable while its PASID 0 entry is not valid? */
  needsPasidZero(): boolean;
  /** Does a CC_INV of one device read its PASID table again? */
  contextInvRebinds(): boolean;
  /** Are the bindings brought up to date at that event? */
  replays(at: Replay): boolean;
  /** Translation goes on: is a device without PASID 0 entry blocked, or does VFIO's own attachment last? */
  blocksUnbound(): boolean;
  /** Translation goes off: do bindings whose entry is still there survive? */
  keepsBindingsAtTeOff(): boolean;

  /** What a guest entry asks for: a nested HWPT, the default one, or nothing that can be had. */
  wants(entry: readonly bigint[]): 'nested' | 'default' | 'invalid';
  /** struct iommu_hwpt_vtd_s1 for a guest entry. */
  hwptData(entry: readonly bigint[]): HwptData;
  /** The device moves to its new HWPT before the old one is destroyed, or after. */
  replaceOrder(): 'attach-first' | 'destroy-first';
  /** A replaced HWPT is detached before the new one is attached, or VFIO replaces it. */
  detachesFirst(): boolean;
  /** A nested HWPT that could not be attached is destroyed. */
  destroysAfterFailure(): boolean;
  /** A binding ends: the device is detached from the PASID, or put on its default HWPT. `scalable`: TE and scalable mode. */
  unbindsTo(pasid: number, scalable: boolean): 'nothing' | 'default';
  /** Unplugging ends the bindings that the guest has left. */
  unbindsAtUnplug(): boolean;

  /** PASID in a fault record of the vIOMMU. */
  recordedPasid(pasid: number): number;
  /** Is the page that a request names invalidated first, as a page request does implicitly? */
  invalidatesRequestedPage(): boolean;
  /** The guest's page request descriptor. */
  pageRequest(r: GuestPageRequest): bigint[];
  /** A group that never reached the guest (no PASID, queue full, PRE = 0): nobody answers it, or the VMM does. */
  lostGroup(): 'wait' | 'answer';
  /** The kernel's code for the guest's response code; null: the response is not passed on. */
  responseCode(rc: number): number | null;
  /** Does a page group response need a PASID? */
  responseNeedsPasid(): boolean;
}

const ONES = 0xffff_ffff_ffff_ffffn;
const LEAF = 1n;

/** Bits of qw0 and qw1 that must be 0 (intel_iommu_internal.h); of a 256-bit descriptor the other two words as well. */
const reserved: Readonly<Record<number, readonly [bigint, bigint]>> = {
  1: [0xfffc00000000f1c0n, ONES],
  2: [0xffffffff0000f100n, 0xf80n],
  3: [0xffff0000ffe0f1f0n, 0xffen],
  4: [0xffff000007fff1e0n, ONES],
  5: [0xfffff180n, 3n],
  6: [0xfff000000000f1c0n, 0xf80n],
  7: [0xfff000000000f1c0n, ONES],
  8: [0xfff000000000f000n, 0x7fen],
  9: [0xfff00000000001e0n, 0xfffffffffffff003n],
};
/** Types that exist in 256-bit queues only. */
const wideOnly = new Set([6, 7, 8]);
const PAGE_DRAIN = 0x80n;
const RESPONSE = 9;
const [WAIT, FIRST_STAGE, PASS_THROUGH] = [5, 1, 4];

export const vmmRules: VmmRules = {
  ...machineRules,

  accepts: ({ type, words, wide, drains }) => {
    const masks = reserved[type];
    if (!masks || (!wide && wideOnly.has(type))) return false;
    const first = type === WAIT && drains ? masks[0] & ~PAGE_DRAIN : masks[0];
    if (words[0]! & first || words[1]! & masks[1]) return false;
    return !wide || type === RESPONSE || (words[2] === 0n && words[3] === 0n);
  },
  typeOf: (word) => Number((word & 0xfn) | ((word >> 5n) & 0x70n)),
  largestMask: () => 18,
  refused: () => 'stop',
  showsQueueWidth: () => true,
  iqeClearRestarts: () => false,

  forwards: () => true,
  matches: (f, did, pasid) => f.did === did && f.pasid === pasid,
  targets: (matching) => matching,
  flushEntry: ({ range }) =>
    range ? [range.address, 1n << BigInt(range.am), range.leaf ? LEAF : 0n] : [0n, ALL_PAGES, 0n],
  sends: () => 'at-once',
  endsBatch: () => true,
  afterBatchError: () => 'rest',

  readsPasidTable: () => true,
  concerns: (r, did, pasid) => r.kind === 'global' || (r.did === did && (r.kind === 'domain' || r.pasid === pasid)),
  picks: (r, did) => r.kind === 'global' || r.did === did,
  differs: (was, is) => was.some((w, i) => w !== is[i]),
  needsPasidZero: () => true,
  contextInvRebinds: () => false,
  replays: () => true,
  blocksUnbound: () => false,
  keepsBindingsAtTeOff: () => true,

  wants: (entry) => {
    const pgtt = pgttOf(entry);
    if (pgtt === FIRST_STAGE) return 'nested';
    return pgtt === PASS_THROUGH ? 'default' : 'invalid';
  },
  hwptData: s1DataOf,
  replaceOrder: () => 'attach-first',
  detachesFirst: () => false,
  destroysAfterFailure: () => true,
  unbindsTo: (pasid, scalable) => (pasid !== 0 || scalable ? 'nothing' : 'default'),
  unbindsAtUnplug: () => true,

  recordedPasid: (pasid) => pasid % 0x10000,
  invalidatesRequestedPage: () => true,
  pageRequest: (r) => encodePageRequest(r),
  lostGroup: () => 'wait',
  responseCode: (rc) => (rc < 2 ? rc : 2),
  responseNeedsPasid: () => true,
};
