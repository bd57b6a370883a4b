import type { DriverUpcalls } from '../../iommufd/index.ts';
import { type Injector, scoped } from '../../machine/index.ts';
import type { Memory, PageAllocator } from '../../memory/index.ts';
import type { GenericTable } from '../../pagetable/generic-table.ts';
import type { PciDevice } from '../../pci/index.ts';
import type { Trace } from '../../trace/index.ts';
import { hardwareIds } from '../hardware/ids.ts';
import type { Kernel, LinuxIds, VtdPort } from '../linux/index.ts';
import type { NestingRules } from './rules.ts';

/** Geometry of a host page table, from which its writer is made again after a snapshot. */
export interface TableSpec {
  readonly stage: 1 | 2;
  readonly root: number;
  readonly levels: number;
  readonly inputBits: number;
  readonly pageSizes: readonly number[];
  readonly forceCoherence: boolean;
  readonly forceWriteable: boolean;
}

/** What the host's functions work with: the driver core's kernel, and what only a host has. */
export interface Host {
  readonly kernel: Kernel;
  readonly memory: Memory;
  readonly pages: PageAllocator;
  readonly trace: Trace;
  readonly rules: NestingRules;
  readonly devices: readonly HostPci[];
  readonly tables: Map<number, GenericTable>;
  specs: Map<number, TableSpec>;
  upcalls: DriverUpcalls | null;
}

/** A function and the number of the unit in front of it. */
export interface HostPci {
  readonly pci: PciDevice;
  readonly unit: number;
}

export interface HostUnit {
  /** `dmar0` */
  readonly name: string;
  readonly port: VtdPort;
  /** Scope of its scene ids; empty for the only unit. */
  readonly scope?: string;
}

/** What a host driver is made of. */
export interface HostOptions {
  readonly units: readonly HostUnit[];
  readonly devices: readonly HostPci[];
  readonly memory: Memory;
  /** Host pages for tables and queues. */
  readonly pages: PageAllocator;
  readonly trace: Trace;
  readonly injector: Injector;
}

/** Scene objects that the core speaks of on the host: its tables are part of the hardware's picture. */
export function hostIds(scope = ''): LinuxIds {
  const hw = hardwareIds(scope);
  const id = (rest: string): string => scoped('hw', scope, rest);
  const hex = (n: number): string => `0x${n.toString(16)}`;
  return {
    driver: scoped('kernel', scope, 'driver'),
    unit: hw.unit,
    queue: hw.iq,
    prq: hw.prq,
    frcd: hw.frcd,
    root: hw.root,
    // The root table's picture has the context tables too.
    context: () => hw.root,
    pasid: (rid, pasid) => id(`pasid.${hex(rid)}.${hex(pasid)}`),
  };
}
