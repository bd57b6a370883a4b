import { encodeCommand } from '../layout/index.ts';
import { atcSpan, type TlbiRange } from './range.ts';

/** A command queue entry: two 64-bit words. */
export type Command = bigint[];

/** Every command of a guest carries VMID 0: the driver of a stage-1-only SMMU knows no other (arm-smmuv3.md 7). */

export const cfgiSte = (sid: number): Command => encodeCommand('CFGI_STE', { SID: sid, Leaf: 1 });

/** CFGI_STE_RANGE over all 2^32 StreamIDs, which Linux calls CFGI_ALL. */
export const cfgiAll = (): Command => encodeCommand('CFGI_STE_RANGE', { Range: 31 });

export const cfgiCd = (sid: number, ssid: number): Command =>
  encodeCommand('CFGI_CD', { SID: sid, SSID: ssid, Leaf: 1 });

export const nsnhAll = (): Command => encodeCommand('TLBI_NSNH_ALL', {});

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

/** Without SubstreamID: every entry of the device in the range, whatever its PASID. `size` 0 is the whole ATC. */
export const atcInv = (sid: number, iova: number, size: number): Command => {
  const span = atcSpan(iova, size);
  return encodeCommand('ATC_INV', { SID: sid, Size: span.size, Address: span.address });
};

export const prefetchConfig = (sid: number): Command => encodeCommand('PREFETCH_CONFIG', { SID: sid });

/**
 * CMD_SYNC as Linux writes it where the SMMU has no MSI: CS=SEV (inner shareable, write-back attributes left in).
 * The guest then polls CMDQ_CONS. Word 0 is 0x0FC02046.
 */
export const sync = (): Command => encodeCommand('SYNC', { CS: 2, MSH: 3, MSIAttr: 15 });
