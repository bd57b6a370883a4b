import { encodeDescriptor } from '../layout/index.ts';
import type { Capabilities } from './capabilities.ts';
import { ALL_PAGES, type AlignedRange, everything } from './range.ts';

/** Invalidation descriptors as the driver makes them (iommu.h qi_desc_*, dmar.c qi_flush_*): four 64-bit words. */
export type Descriptor = bigint[];

/** QI_IN_USE and the others: what a slot's status word holds. */
export const STATUS = { free: 0, inUse: 1, done: 2, aborted: 3 } as const;

const GRANULARITY = { all: 1, domain: 2, page: 3 } as const;

export const contextDevice = (sid: number, did = 0): Descriptor =>
  encodeDescriptor('CC_INV', { G: GRANULARITY.page, DID: did, SID: sid });
export const contextAll = (): Descriptor => encodeDescriptor('CC_INV', { G: GRANULARITY.all });

export const pasidCache = (did: number, pasid: number): Descriptor =>
  encodeDescriptor('PC_INV', { G: 1, DID: did, PASID: pasid });
export const pasidCacheAll = (): Descriptor => encodeDescriptor('PC_INV', { G: 3 });

/** Reads and writes are drained wherever the unit can. */
const drains = (c: Capabilities) => ({ DW: c.dwd, DR: c.drd });

export const iotlbAll = (c: Capabilities): Descriptor =>
  encodeDescriptor('IOTLB_INV', { G: GRANULARITY.all, ...drains(c) });
export const iotlbDomain = (c: Capabilities, did: number): Descriptor =>
  encodeDescriptor('IOTLB_INV', { G: GRANULARITY.domain, DID: did, ...drains(c) });
export const iotlbPages = (c: Capabilities, did: number, r: AlignedRange, ih: boolean): Descriptor =>
  encodeDescriptor('IOTLB_INV', {
    G: GRANULARITY.page,
    DID: did,
    ...drains(c),
    AM: r.mask,
    IH: ih,
    ADDR: r.address,
  });

export const piotlbPasid = (did: number, pasid: number): Descriptor =>
  encodeDescriptor('P_IOTLB_INV', { G: 2, DID: did, PASID: pasid });
export const piotlbPages = (did: number, pasid: number, r: AlignedRange, ih: boolean): Descriptor =>
  encodeDescriptor('P_IOTLB_INV', { G: 3, DID: did, PASID: pasid, AM: r.mask, IH: ih, ADDR: r.address });

/** What the driver knows of a device TLB. */
export interface DeviceTlb {
  readonly sid: number;
  readonly pfsid: number;
  /** Invalidate Queue Depth, 32 is coded as 0. */
  readonly atsQdep: number;
}

/** Sizes above a page: ones below the size's top bit, a zero in it. The block must be aligned. */
const sized = (r: AlignedRange): bigint => {
  const top = BigInt(12 + r.mask - 1);
  return (((r.address | ((1n << top) - 1n)) & ~(1n << top)) >> 12n) << 12n;
};

/** Type 3: translations without PASID. */
export const deviceTlb = (d: DeviceTlb, r: AlignedRange): Descriptor =>
  encodeDescriptor('DEV_TLB_INV', {
    SID: d.sid,
    PFSID: d.pfsid,
    MIP: d.atsQdep % 32,
    S: r.mask > 0,
    ADDR: r.mask > 0 ? sized(r) : r.address,
  });
export const deviceTlbAll = (d: DeviceTlb): Descriptor => deviceTlb(d, everything);

/** Type 8: translations of one PASID. */
export const pasidDeviceTlb = (d: DeviceTlb, pasid: number, r: AlignedRange): Descriptor =>
  encodeDescriptor('P_DEV_TLB_INV', {
    SID: d.sid,
    PFSID: d.pfsid,
    MIP: d.atsQdep % 32,
    PASID: pasid,
    S: r.mask > 0,
    ADDR: r.mask > 0 ? sized(r) : r.address,
  });
export const pasidDeviceTlbAll = (d: DeviceTlb, pasid: number): Descriptor =>
  pasidDeviceTlb(d, pasid, { address: 0n, mask: ALL_PAGES });

/** The wait that ends each submission: it writes `done` into the slot's status word. */
export const waitDescriptor = (statusAddress: number, drain: boolean): Descriptor =>
  encodeDescriptor('INV_WAIT', { SW: true, PD: drain, STDATA: STATUS.done, STADDR: BigInt(statusAddress) });
/** Later descriptors wait for earlier ones; nothing is written. */
export const fenceDescriptor = (): Descriptor => encodeDescriptor('INV_WAIT', { FN: true, STDATA: STATUS.done });

/** Response codes of page groups: the kernel's own numbers go out unchanged, its 2 for a failure too. */
export const RESPONSE = { success: 0, invalid: 1, failure: 2 } as const;

export const pageGroupResponse = (rid: number, pasid: number | null, group: number, code: number): Descriptor =>
  encodeDescriptor('PAGE_GRP_RESP', { PP: pasid !== null, RID: rid, PASID: pasid ?? 0, PRGI: group, RC: code });
