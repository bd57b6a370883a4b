import type { Injector } from '../machine/index.ts';
import type { Bus, PageAllocator } from '../memory/index.ts';
import type { Trace } from '../trace/index.ts';

/** What a guest knows of a PCI device from its config space. */
export interface GuestPciDevice {
  readonly name: string;
  /** Bus, device and function in the guest. */
  readonly vrid: number;
  readonly pasidBits: number;
  readonly atsCapable: boolean;
}

/** What a guest's kernel is made of, whatever the IOMMU. */
export interface GuestKernelParts<Device extends GuestPciDevice> {
  /** Guest physical memory. */
  readonly memory: Bus;
  /** Pages for the guest kernel's tables and queues, in guest physical space. */
  readonly pages: PageAllocator;
  readonly devices: readonly Device[];
  /** Whether the VMM has put the device into the guest; without it all are there. */
  readonly present?: (name: string) => boolean;
  readonly trace: Trace;
  readonly injector: Injector;
  readonly deviations?: readonly string[];
  /** Scope of the guest's scene ids: its name when there are several guests. */
  readonly scope?: string;
}
