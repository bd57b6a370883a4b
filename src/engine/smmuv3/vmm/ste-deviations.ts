import type { VmmDeviation } from './deviation.ts';
import { vmmRules } from './rules.ts';

/** How a VMM can keep a device on the wrong configuration. */
export const steDeviations: readonly VmmDeviation[] = [
  {
    name: 'vmm.cfgi-range-local',
    rule: 'rangeInstalls',
    about:
      'CFGI_STE_RANGE and CFGI_ALL empty the emulator’s cache but leave every device on its old nested HWPT, which is a cached ' +
      'STE in all but name. An early tree of QEMU’s accelerated SMMUv3 did so (fix 5a58a896fc).',
    instead: () => false,
  },
  {
    name: 'vmm.cfgi-range-unaligned',
    rule: 'steRange',
    about:
      'The StreamID of CFGI_STE_RANGE is taken as the first of the range instead of being aligned down (QEMU until 017a913af4, ' +
      '2021).',
    instead: (sid, range) => ({ start: sid, end: sid + 2 ** (range + 1) - 1 }),
  },
  {
    name: 'vmm.cfgi-all-overflow',
    rule: 'steRange',
    about:
      'The size of a CFGI_STE_RANGE is 32 bits wide: that of CFGI_ALL (Range 31) is 0, and no device is reached (QEMU until ' +
      '1194140b7f, 2021).',
    instead: (sid, range) => {
      const size = 2 ** (range + 1) % 2 ** 32;
      const start = sid - (size === 0 ? 0 : sid % size);
      return { start, end: start + size - 1 };
    },
  },
  {
    name: 'vmm.abort-as-bypass',
    rule: 'steAction',
    about:
      'An invalid STE is taken for one that was never written, and its device is put on the bypass HWPT: between detaching and ' +
      'the next attach it reaches all of guest memory.',
    instead: (ste) => (ste[0]! & 1n ? vmmRules.steAction(ste) : 'bypass'),
  },
  {
    name: 'vmm.ste-unmasked',
    rule: 'nestedWords',
    about:
      'The guest’s STE goes to the kernel as it is: a field outside the allowed set (SHCFG, say) makes HWPT_ALLOC fail with EIO.',
    instead: (ste) => [ste[0]!, ste[1]!],
  },
  {
    name: 'vmm.ste-fields-shifted',
    rule: 'nestedWords',
    about:
      'STE fields from CONT on sit one bit too low, so that EATS = 1 arrives as S1STALLD and ATS stays off. OpenVMM’s first ' +
      'layouts were wrong from there on (pull request 3661, 2026).',
    instead: (ste) => vmmRules.nestedWords([ste[0]!, (ste[1]! & 0x1fffn) | ((ste[1]! >> 13n) << 12n)]),
  },
  {
    name: 'vmm.no-vdevice',
    rule: 'makesVdevice',
    about:
      'No vDEVICE is made: attaching a translating nested HWPT fails with ENOENT, and the guest sees its CFGI_STE refused.',
    instead: () => false,
  },
  {
    name: 'vmm.destroy-before-attach',
    rule: 'replaceOrder',
    about:
      'The old nested HWPT is destroyed before the device has left it: EBUSY, and the object stays for good. Unplugging the last ' +
      'device then fails to free the vIOMMU.',
    instead: () => 'destroy-first',
  },
];
