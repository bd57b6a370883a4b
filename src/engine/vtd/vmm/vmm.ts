import type { Op } from '../../machine/index.ts';
import { VirtualMachine, type VirtualMachineParts, type VmmDeviceSpec } from '../../vmm/index.ts';
import { vmmRulesWith } from './deviations.ts';
import { plug, unplug } from './devices.ts';
import { configProblem, largestOffer, type VmmProperties } from './properties.ts';
import type { VmmRules } from './rules.ts';
import type { MachineContext } from './state.ts';
import { VVtd } from './vvtd.ts';

export interface VmmParts extends VirtualMachineParts {
  /** Properties of the vIOMMUs. */
  readonly properties?: VmmProperties;
}

/** IOMMU_HWPT_ALLOC_NEST_PARENT, IOMMU_HWPT_ALLOC_PASID */
const NEST_PARENT = 1;
const ALLOC_PASID = 8;

/**
 * QEMU with one `-device intel-iommu,fsts=on` for each of `units`: the machine, its memory and VFIO devices in one IOAS, and
 * the virtual VT-d units. QEMU itself has one at most. Source: intel-vtd.md 5.9.
 */
export class Vmm extends VirtualMachine<VVtd> implements MachineContext {
  readonly rules: VmmRules;
  readonly properties: VmmProperties;
  /** Where PASIDs are offered the parent has to be fit for them too. */
  readonly parentFlags: number;
  readonly units: readonly VVtd[];

  /** @throws Error when a deviation `vmm.*` does not exist, a device has no unit, or QEMU refuses the properties */
  constructor(p: VmmParts) {
    super(p, 'vdmar0');
    this.rules = vmmRulesWith(p.deviations ?? []);
    this.properties = p.properties ?? {};
    const most = largestOffer(this.properties);
    const problem = configProblem(most);
    if (problem) throw new Error(problem);
    this.parentFlags = NEST_PARENT | (most.pasidBits > 0 ? ALLOC_PASID : 0);
    this.units = this.unitSpecs.map((u) => new VVtd(u.name, this, this.unitScope(u.name)));
  }

  /** Interrupts of the first unit. */
  get irq(): VVtd['irq'] {
    return this.first.irq;
  }

  /**
   * What the guest finds in the device's configuration space (vfio-pci's PASID capability): none unless the vIOMMU has PASIDs
   * and the host lets the device use them.
   */
  pasidBits(device: string): number {
    const d = this.pluggedDevice(device);
    return d && this.unitOf(device).state.offer.pasidBits > 0 ? d.maxPasidLog2 : 0;
  }

  protected *connect(unit: VVtd, spec: VmmDeviceSpec): Op<string> {
    return yield* plug(unit, spec);
  }

  protected *disconnect(unit: VVtd, device: string): Op<void> {
    yield* unplug(unit, unit.deviceOf(device)!);
  }

  protected describe(unit: VVtd, device: string): string {
    const d = unit.deviceOf(device)!;
    return `device ${d.devid}, nesting parent HWPT ${d.parent}`;
  }
}
