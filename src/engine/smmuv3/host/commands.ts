import { type Invalidated, splitRange } from '../guest/range.ts';
import { encodeCommand } from '../layout/index.ts';

/** The commands that the host driver builds (arm-smmu-v3.c arm_smmu_cmdq_build_cmd). Two 64-bit words each. */
export type Command = bigint[];

export const cfgiSte = (sid: number): Command => encodeCommand('CFGI_STE', { SID: sid, Leaf: 1 });
export const cfgiAll = (): Command => encodeCommand('CFGI_ALL');
export const cfgiCd = (sid: number, ssid: number, leaf: boolean): Command =>
  encodeCommand('CFGI_CD', { SID: sid, SSID: ssid, Leaf: leaf });
export const prefetchConfig = (sid: number): Command => encodeCommand('PREFETCH_CONFIG', { SID: sid });
export const el2All = (): Command => encodeCommand('TLBI_EL2_ALL');
export const nsnhAll = (): Command => encodeCommand('TLBI_NSNH_ALL');
export const nhAll = (vmid: number): Command => encodeCommand('TLBI_NH_ALL', { VMID: vmid });
export const s12VmAll = (vmid: number): Command => encodeCommand('TLBI_S12_VMALL', { VMID: vmid });

/** Drops the stage-1 translations of an ASID; with E2H the host's ASIDs belong to EL2. */
export const asidAll = (asid: number, e2h: boolean): Command =>
  encodeCommand(e2h ? 'TLBI_EL2_ASID' : 'TLBI_NH_ASID', { ASID: asid });

/** A range of IPAs; log2 of the table's smallest page, and whether IDR3.RIL is there. */
export const s2Ipa = (vmid: number, r: Invalidated, leaf: boolean, page: number, ril: boolean): Command[] =>
  byRange('TLBI_S2_IPA', { VMID: vmid }, r, leaf, page, ril);

/** A range of a host domain's input addresses. */
export const s1Va = (
  asid: number,
  e2h: boolean,
  r: Invalidated,
  leaf: boolean,
  page: number,
  ril: boolean,
): Command[] => byRange(e2h ? 'TLBI_EL2_VA' : 'TLBI_NH_VA', { ASID: asid }, r, leaf, page, ril);

function byRange(
  name: string,
  tag: Record<string, number>,
  r: Invalidated,
  leaf: boolean,
  page: number,
  ril: boolean,
): Command[] {
  return splitRange(r, leaf, page, ril).map((x) =>
    encodeCommand(name, {
      ...tag,
      NUM: x.num,
      SCALE: x.scale,
      TTL: x.ttl,
      TG: x.tg,
      Leaf: leaf,
      Address: BigInt(x.address),
    }),
  );
}

/** A device's ATC: the span that contains the range, or everything for size 0. Without PASID it takes every PASID's entries. */
export function atcInv(sid: number, span: { readonly address: bigint; readonly size: number }, ssid = 0): Command {
  const pasid: Record<string, number> = ssid ? { SSV: 1, SSID: ssid } : {};
  return encodeCommand('ATC_INV', { SID: sid, ...pasid, Address: span.address, Size: span.size });
}

/** Ends a stalled transaction: it is translated again, or aborted. */
export const resume = (sid: number, stag: number, action: 'retry' | 'abort'): Command =>
  encodeCommand('RESUME', { SID: sid, STAG: stag, Ac: action === 'retry' ? 1 : 0, Ab: action === 'abort' ? 1 : 0 });

/** Answer to a page request group; `resp` is Resp: 0 deny, 1 fail, 2 success. */
export const priResponse = (sid: number, ssid: number | null, group: number, resp: number): Command =>
  encodeCommand('PRI_RESP', {
    SID: sid,
    SSV: ssid === null ? 0 : 1,
    SSID: ssid ?? 0,
    PRGIndex: group,
    Resp: resp,
  });

/**
 * CMD_SYNC. With MSI polling it writes zero over its own slot; otherwise it asks for a wake-up event and the driver polls
 * CONS. Outer attributes as the kernel: inner shareable, write-back.
 */
export function cmdSync(slot: number | null): Command {
  const how: Record<string, number | bigint> = slot === null ? { CS: 2 } : { CS: 1, MSIAddress: BigInt(slot) };
  return encodeCommand('SYNC', { MSH: 3, MSIAttr: 0xf, ...how });
}
