import type { DeviceSpec, Injector, PlatformSpec } from '../../machine/index.ts';
import * as machine from '../../platform/index.ts';
import type { Trace } from '../../trace/index.ts';
import { GuestDriver } from '../guest/index.ts';
import { physicalFeatures, VtdUnit } from '../hardware/index.ts';
import { HostDriver, hostRulesWith } from '../host/index.ts';
import { Vmm } from '../vmm/index.ts';

/** One physical remapping unit. The host has one driver for all of them. */
export interface Unit extends machine.Unit {
  readonly iommu: VtdUnit;
}

/** One guest with its VMM and what the host kernel has of that process. */
export interface Guest extends machine.Guest {
  readonly vmm: Vmm;
  readonly linux: GuestDriver;
}

/** A machine with VT-d units, wired: who holds a reference to whom. */
export type Parts = machine.Machine<Unit, Guest, HostDriver>;

/**
 * Builds the machine of a document, its units with the document's features.
 * @throws RangeError when the document's sizes or features cannot be had
 */
export function wire(spec: PlatformSpec, specs: readonly DeviceSpec[], trace: Trace, injector: Injector): Parts {
  const features = physicalFeatures(spec.features);
  const iotlb = Number(spec.features['iotlbEntries'] ?? 0);
  const made: { driver: HostDriver | null } = { driver: null };
  return machine.wireMachine(spec, specs, trace, injector, {
    page: 4096,
    unit({ name, scope, index, memory, devices }): Unit {
      const iommu = new VtdUnit(memory, features, devices, trace, injector, iotlb, scope);
      return {
        name,
        scope,
        id: iommu.ids.unit,
        iommu,
        devices,
        driver: {
          sceneId: () => made.driver!.kernel.units[index]!.ids.driver,
          interrupt: () => made.driver!.interrupt(),
        },
        probed: () => made.driver!.probed,
        log: () => made.driver!.log,
      };
    },
    drivers(units, { memory, pages, devices }) {
      made.driver = new HostDriver({
        units: units.map((u) => ({ name: u.name, port: u.iommu, scope: u.scope })),
        devices: devices.map((pci) => ({ pci, unit: units.findIndex((u) => u.devices.includes(pci)) })),
        memory,
        pages,
        trace,
        injector,
        rules: hostRulesWith(spec.deviations),
      });
      return made.driver;
    },
    guest: wireGuest,
  });
}

function wireGuest(o: machine.GuestMaterial) {
  const vmm = new Vmm(machine.vmmParts(o));
  const linux = new GuestDriver({
    ...machine.guestParts(o, vmm),
    units: o.units.map((u, i) => ({ name: u.name, iommu: vmm.units[i]!, devices: u.devices })),
  });
  const ends = linux.units.map((u) => ({ name: u.name, queue: u.ids.iq, viommu: u.ids.viommu }));
  return { vmm, linux, ends };
}
