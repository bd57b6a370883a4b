import { type TranslationCache, UID } from '../cache/index.ts';
import { deviceId, type Op } from '../machine/index.ts';
import type { Trace } from '../trace/index.ts';
import type { DeviceAccesses, DmaOutcome, DmaRequest } from './accesses.ts';
import type { DeviceSnapshot, PciDevice } from './device.ts';
import type { PageAccess, PageRequestOutcome } from './messages.ts';
import type { PageRequestService } from './page-request-service.ts';

/** The side of an IOMMU that devices see. */
export abstract class DevicePort {
  protected abstract readonly requests: DeviceAccesses;
  protected abstract readonly pageRequests: PageRequestService;
  private readonly devices: readonly PciDevice[];

  constructor(devices: readonly PciDevice[]) {
    this.devices = devices;
  }

  /** A device's access; see `DeviceAccesses`. */
  dma(q: DmaRequest): Op<DmaOutcome> {
    return this.requests.dma(q);
  }

  /** A translation request. @param pasid -1: none */
  ats(d: PciDevice, pasid: number, iova: bigint, write: boolean): Op<DmaOutcome> {
    return this.requests.ats(d, pasid, iova, write);
  }

  /**
   * A page request of a device.
   * @param pasid -1: none
   * @param access what is asked for; with neither reading nor writing and a PASID it is a stop marker, if `last`
   */
  pri(
    d: PciDevice,
    pasid: number,
    iova: bigint,
    access: PageAccess,
    group: number,
    last: boolean,
  ): Op<PageRequestOutcome> {
    return this.pageRequests.pri(d, pasid, iova, access, group, last);
  }

  /** Has the removals from the devices' ATCs traced. */
  protected watch(
    trace: Trace,
    o: {
      /** A fresh request would still give the entry. */
      readonly valid: (d: PciDevice, index: number) => boolean;
      /** What removes it, when it is not a reset. */
      readonly by: () => string;
      readonly cells: (cache: TranslationCache, index: number) => readonly string[];
    },
  ): void {
    for (const d of this.devices)
      d.atc.onRemove = (i) => {
        trace.listener?.({
          kind: 'cache.remove',
          actor: 'device',
          at: deviceId(d),
          valid: o.valid(d, i),
          by: d.inReset ? 'reset' : o.by(),
          entry: { cache: 'ATC', id: d.atc.e[i + UID]!, cells: o.cells(d.atc, i) },
        });
      };
  }

  protected saveDevices(): DeviceSnapshot[] {
    return this.devices.map((d) => d.save());
  }

  protected loadDevices(saved: readonly DeviceSnapshot[]): void {
    for (const [i, d] of this.devices.entries()) d.load(saved[i]!);
  }
}
