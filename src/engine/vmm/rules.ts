import type { Deviation } from '../machine/index.ts';

/** The part of a VMM's rules that does not depend on the vIOMMU: QEMU's hw/vfio/iommufd.c and its machine reset. */
export interface MachineRules {
  /** A parent of the guest's IOAS is offered to every further device. */
  sharesParents(): boolean;
  /** A parent refused a device with that errno: try the next one, or give up. */
  parentRefused(errno: string): 'next' | 'fail';
  /** A machine reset takes all devices off the guest's page tables. */
  resetMovesDevices(): boolean;
  /** A machine reset clears the registers of the vIOMMUs. */
  resetsRegisters(): boolean;
}

export const machineRules: MachineRules = {
  sharesParents: () => true,
  parentRefused: (errno) => (errno === 'EINVAL' ? 'next' : 'fail'),
  resetMovesDevices: () => true,
  resetsRegisters: () => true,
};

export const resetRegisterOnly: Deviation<MachineRules> = {
  name: 'vmm.reset-register-only',
  rule: 'resetMovesDevices',
  about:
    'A machine reset leaves the devices on the nested HWPTs of the guest that was: they go on using its page tables while the ' +
    'next one boots.',
  instead: () => false,
};
