import type { Op } from '../../machine/index.ts';
import { VirtualMachine, type VirtualMachineParts, type VmmDeviceSpec } from '../../vmm/index.ts';
import { vmmRulesWith } from './deviations.ts';
import { plug, unplug } from './devices.ts';
import { ssidBits, type VmmProperties } from './registers.ts';
import type { VmmRules } from './rules.ts';
import type { MachineContext } from './state.ts';
import { VSmmu } from './vsmmu.ts';

export interface VmmParts extends VirtualMachineParts {
  /** Properties of the vSMMUs. */
  readonly properties?: VmmProperties;
}

/** IOMMU_HWPT_ALLOC_NEST_PARENT */
const NEST_PARENT = 1;

/**
 * QEMU with one `-device arm-smmuv3,accel=on` for each of `units`: the machine, its memory and VFIO devices in one IOAS, and
 * the vSMMUs. Source: arm-smmuv3.md 8.
 */
export class Vmm extends VirtualMachine<VSmmu> implements MachineContext {
  readonly rules: VmmRules;
  readonly properties: VmmProperties;
  readonly parentFlags = NEST_PARENT;
  readonly units: readonly VSmmu[];

  /** @throws Error when `deviations` names a `vmm.` rule that does not exist, or a device has no unit */
  constructor(p: VmmParts) {
    super(p, 'vsmmu');
    this.rules = vmmRulesWith(p.deviations ?? []);
    this.properties = p.properties ?? {};
    this.units = this.unitSpecs.map((u) => new VSmmu(u.name, this, this.unitScope(u.name)));
  }

  /** Interrupt lines of the first vSMMU. */
  get irq(): VSmmu['irq'] {
    return this.first.irq;
  }

  /**
   * What the guest finds in the device's configuration space (vfio-pci's PASID capability): none unless the vSMMU has
   * SubstreamIDs and the host lets the device use PASIDs.
   */
  pasidBits(device: string): number {
    const d = this.pluggedDevice(device);
    if (!d) return 0;
    return ssidBits(this.unitOf(device).state.registers) > 0 ? d.maxPasidLog2 : 0;
  }

  protected *connect(unit: VSmmu, spec: VmmDeviceSpec): Op<string> {
    return yield* plug(unit, spec);
  }

  protected *disconnect(unit: VSmmu, device: string): Op<void> {
    yield* unplug(unit, unit.deviceOf(device)!);
  }

  protected describe(unit: VSmmu, device: string): string {
    const d = unit.deviceOf(device)!;
    return `device ${d.devid}, vIOMMU ${unit.state.viommu}, HWPT ${d.hwpt}`;
  }
}
