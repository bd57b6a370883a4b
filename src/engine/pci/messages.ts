import { alignHi, alignLo } from '../cache/index.ts';
import { deviceId } from '../machine/index.ts';
import type { Trace } from '../trace/index.ts';
import type { PciDevice } from './device.ts';
import type { PageResponse } from './page-requests.ts';

/** What a page request asks for. */
export interface PageAccess {
  readonly read: boolean;
  readonly write: boolean;
  readonly exec?: boolean;
  readonly priv?: boolean;
}

/** Which page, and what for. */
export interface RequestedPage extends PageAccess {
  /** Address with its low twelve bits clear, 64 bits. */
  readonly page: bigint;
  readonly group: number;
  /** The last request of its group. */
  readonly last: boolean;
}

export interface PageRequestOutcome {
  /** The device sent the message. */
  readonly sent: boolean;
  /** It lies in the IOMMU's queue, so that an answer is due once the group is complete. */
  readonly recorded: boolean;
  /** The answer that the IOMMU gave by itself, null when it gave none. */
  readonly response: PageResponse | null;
  readonly text: string;
}

/** True of a request that only marks the end of a PASID's use. Source: PCI Express base specification, 10.4.1.2.1. */
export const isStopMarker = (pasid: number, access: PageAccess, last: boolean): boolean =>
  pasid >= 0 && last && !access.read && !access.write;

/** Why the device cannot send a page request now; null: it can. */
export function pageRequestRefusal(d: PciDevice, pasid: number, group: number, marker: boolean): string | null {
  if (!d.priCapable) return 'the device has no page request interface';
  if (pasid >= 0 && !d.pasidEnabled) return 'PASID is not enabled in the device';
  if (marker) return d.pri.enabled ? null : 'PRI is not enabled in the device';
  return d.pri.refusal(pasid, group);
}

/**
 * An invalidation request arrives at a device, which drops what it covers and says that it has.
 * @param unit scene object of the IOMMU
 * @param tag PASID, `NO_PASID`, or ANY
 * @param hi,lo address in the range, int32 halves
 * @param shift log2 of the range's bytes, 64 or more for everything
 */
export function invalidateAtc(
  d: PciDevice,
  trace: Trace,
  unit: string,
  tag: number,
  hi: number,
  lo: number,
  shift: number,
): void {
  const { listener } = trace;
  const at = listener ? deviceId(d) : '';
  listener?.({
    kind: 'ats',
    actor: 'iommu',
    at: unit,
    to: at,
    message: 'invalidate',
    device: d.name,
    text: 'invalidation request',
  });
  if (shift >= 64) d.atc.removeContext(0, tag);
  else d.atc.removeRange(0, tag, alignHi(hi, shift), alignLo(lo, shift), 2 ** shift, -1, -1);
  listener?.({
    kind: 'ats',
    actor: 'device',
    at,
    to: unit,
    message: 'invalidated',
    device: d.name,
    text: 'invalidation completed',
  });
}
