import { encodeCommand } from '../layout/index.ts';
import { atcSpan, type TlbiRange } from './range.ts';

/** A command queue entry: two 64-bit words. */
export type Command = bigint[];

/** Every command of a guest carries VMID 0: the driver of a stage-1-only SMMU knows no other (arm-smmuv3.md 7). */

export const cfgiSte = (sid: number): Command => encodeCommand('CFGI_STE', { SID: sid, Leaf: 1 });

/** CFGI_STE_RANGE over all 2^32 StreamIDs, which Linux calls CFGI_ALL; it sends no other range. */
export const cfgiAll = (): Command => encodeCommand('CFGI_STE_RANGE', { Range: 31 });

/** @param leaf false when a second-level CD table was added: a cached L1CD must go too */
export const cfgiCd = (sid: number, ssid: number, leaf = true): Command =>
  encodeCommand('CFGI_CD', { SID: sid, SSID: ssid, Leaf: leaf ? 1 : 0 });

export const nsnhAll = (): Command => encodeCommand('TLBI_NSNH_ALL', {});

export const el2All = (): Command => encodeCommand('TLBI_EL2_ALL', {});

export const nhAsid = (asid: number): Command => encodeCommand('TLBI_NH_ASID', { ASID: asid });

export const nhVa = (asid: number, r: TlbiRange, leaf: boolean): Command =>
  encodeCommand('TLBI_NH_VA', {
    ASID: asid,
    NUM: r.num,
    SCALE: r.scale,
    TTL: r.ttl,
    TG: r.tg,
    Address: BigInt(r.address),
    Leaf: leaf,
  });

/**
 * With SSID 0 there is no SubstreamID in it: every entry of the device in the range, whatever its PASID. `size` 0 is the whole
 * address space.
 */
export const atcInv = (sid: number, iova: number, size: number, ssid = 0): Command => {
  const span = atcSpan(iova, size);
  const { size: Size, address: Address } = span;
  return encodeCommand('ATC_INV', { SID: sid, SSV: ssid === 0 ? 0 : 1, SSID: ssid, Size, Address });
};

export const prefetchConfig = (sid: number): Command => encodeCommand('PREFETCH_CONFIG', { SID: sid });

/** What becomes of a stalled transaction: tried again, or ended with an abort. */
export const resume = (sid: number, stag: number, answer: 'retry' | 'abort'): Command =>
  encodeCommand('RESUME', { SID: sid, STAG: stag, Ac: answer === 'retry' ? 1 : 0, Ab: answer === 'abort' ? 1 : 0 });

/** PRI_RESP with Response Failure. @param ssid null without PASID */
export const priDeny = (sid: number, ssid: number | null, group: number): Command =>
  encodeCommand('PRI_RESP', { SID: sid, SSV: ssid === null ? 0 : 1, SSID: ssid ?? 0, PRGIndex: group, Resp: 0 });

/**
 * CMD_SYNC as Linux writes it where the SMMU has no MSI: CS=SEV (inner shareable, write-back attributes left in).
 * The guest then polls CMDQ_CONS. Word 0 is 0x0FC02046.
 */
export const sync = (): Command => encodeCommand('SYNC', { CS: 2, MSH: 3, MSIAttr: 15 });
