import type { DeviceSpec, Injector, PlatformSpec } from '../../machine/index.ts';
import * as machine from '../../platform/index.ts';
import type { Trace } from '../../trace/index.ts';
import { GuestDriver } from '../guest/index.ts';
import { kernelPage, physicalFeatures, Smmu } from '../hardware/index.ts';
import { HostDriver, HostDrivers, hostRulesWith } from '../host/index.ts';
import { Vmm } from '../vmm/index.ts';

/** One physical SMMU with the driver that the host kernel runs for it. */
export interface Unit extends machine.Unit {
  readonly iommu: Smmu;
  readonly driver: HostDriver;
}

/** One guest with its VMM and what the host kernel has of that process. */
export interface Guest extends machine.Guest {
  readonly vmm: Vmm;
  readonly linux: GuestDriver;
}

/** A machine with SMMUv3s, wired: who holds a reference to whom. */
export type Parts = machine.Machine<Unit, Guest, HostDrivers>;

/**
 * Builds the machine of a document, its SMMUs with the document's features.
 * @throws RangeError when the document's sizes or features cannot be had
 */
export function wire(spec: PlatformSpec, specs: readonly DeviceSpec[], trace: Trace, injector: Injector): Parts {
  const page = kernelPage(spec.features, 'hostPage');
  const features = physicalFeatures(spec.features);
  const rules = hostRulesWith(spec.deviations);
  const iotlb = Number(spec.features['iotlbEntries'] ?? 0);
  return machine.wireMachine(spec, specs, trace, injector, {
    page,
    unit({ name, scope, index: unit, memory, pages, devices }): Unit {
      const iommu = new Smmu(memory, features, devices, trace, injector, iotlb, scope);
      const made = { smmu: iommu, memory, pages, devices, trace, injector, rules, unit, scope, page };
      const driver = new HostDriver(made);
      return {
        name,
        scope,
        id: iommu.ids.smmu,
        iommu,
        driver,
        devices,
        probed: () => driver.state.features !== null,
        log: () => driver.state.log,
      };
    },
    drivers: (units) => new HostDrivers(units.map((u) => u.driver)),
    guest: wireGuest,
  });
}

function wireGuest(o: machine.GuestMaterial) {
  const vmm = new Vmm(machine.vmmParts(o));
  const linux = new GuestDriver({
    ...machine.guestParts(o, vmm),
    units: o.units.map((u, i) => ({ name: u.name, smmu: vmm.units[i]!, devices: u.devices })),
    page: kernelPage(o.spec.features, 'guestPage'),
  });
  const ends = linux.units.map((u) => ({ name: u.name, queue: u.ids.cmdq, viommu: u.ids.vsmmu }));
  return { vmm, linux, ends };
}
