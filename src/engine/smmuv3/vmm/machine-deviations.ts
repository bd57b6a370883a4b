import { resetRegisterOnly } from '../../vmm/index.ts';
import type { VmmDeviation } from './deviation.ts';
import { vmmRules } from './rules.ts';

/** How a VMM can go wrong at its off switches, at reset, with devices that come and go, and with events. */
export const machineDeviations: readonly VmmDeviation[] = [
  {
    name: 'vmm.gbpa-register-only',
    rule: 'gbpaMovesDevices',
    about:
      'A GBPA update changes the register and nothing else: devices stay where they are. Asked about in the review of Cloud ' +
      'Hypervisor’s accelerated SMMUv3.',
    instead: () => false,
  },
  {
    name: 'vmm.smmuen-moves-devices',
    rule: 'smmuenMovesDevices',
    about:
      'What QEMU does not do: when SMMUEN changes, every device is moved at once, by GBPA when it goes off and by its STE when it ' +
      'comes on.',
    instead: () => true,
  },
  resetRegisterOnly,
  {
    name: 'vmm.registers-survive-reset',
    rule: 'resetsRegisters',
    about:
      'Registers keep their values over a machine reset, so firmware runs with SMMUEN set and the old stream table (QEMU until ' +
      '43530095e1, 2022). Seen only where a machine that has run is reset; a document’s machine is reset before its guest boots.',
    instead: () => false,
  },
  {
    name: 'vmm.cons-read-only',
    rule: 'consWritable',
    about:
      'CMDQ_CONS cannot be written while the queue is off: a driver that starts again (kexec) writes 0 to both positions, and the ' +
      'vSMMU runs through what is left in the ring. OpenVMM’s first version (pull request 3557).',
    instead: () => false,
  },
  {
    name: 'vmm.parent-not-shared',
    rule: 'sharesParents',
    about:
      'Every device gets a nesting parent of its own: stage 2 exists once for each, with a VMID each, and a device whose vIOMMU ' +
      'has another parent cannot use its nested HWPTs the same way.',
    instead: () => false,
  },
  {
    name: 'vmm.parent-einval-fatal',
    rule: 'parentRefused',
    about:
      'EINVAL from a parent of another SMMU ends the plug instead of leading to a parent of the device’s own: only devices behind ' +
      'the first SMMU can be used.',
    instead: () => 'fail',
  },
  {
    name: 'vmm.vdevice-leaked',
    rule: 'freesVdevice',
    about:
      'An unplugged device’s vDEVICE is not destroyed by the VMM. The vIOMMU cannot be freed while it exists; the kernel removes ' +
      'it only when the device is unbound.',
    instead: () => false,
  },
  {
    name: 'vmm.empty-read-is-event',
    rule: 'emptyRead',
    about:
      'A read of the vEVENTQ that brings nothing counts as an event: a record of zeros reaches the guest. QEMU’s handler ' +
      'reported success on EAGAIN for a while (fix 6a51b66dd5).',
    instead: () => [0n, 0n, 0n, 0n],
  },
  {
    name: 'vmm.stall-bit-lost',
    rule: 'faultRecord',
    about:
      'The guest’s record of a stalled transaction says that it has ended (policy pageFaults: forwarded). Nobody answers, and the ' +
      'device waits for good.',
    instead: (f, vsid, stag) => vmmRules.faultRecord(f, vsid, stag).map((w, i) => (i === 1 ? w & ~(1n << 31n) : w)),
  },
  {
    name: 'vmm.stag-reused',
    rule: 'nextStag',
    about:
      'The lowest free virtual STAG is given out (policy pageFaults: forwarded): an answer that the guest still owes to a fault ' +
      'that has gone with its attachment ends a new one.',
    instead: (_last, used) => {
      let tag = 0;
      while (used.has(tag)) tag++;
      return tag;
    },
  },
  {
    name: 'vmm.stall-dropped-when-full',
    rule: 'keepsStalls',
    about:
      'A stalled event that finds the guest’s event queue full is lost like any other (policy pageFaults: forwarded): the ' +
      'transaction waits for an answer that nobody knows to give.',
    instead: () => false,
  },
  {
    name: 'vmm.resume-dropped',
    rule: 'resumeCode',
    about:
      'CMD_RESUME is consumed, as QEMU’s loop does, although stalls are offered (policy pageFaults: forwarded): the device ' +
      'never goes on.',
    instead: () => null,
  },
  {
    name: 'vmm.resume-always-success',
    rule: 'resumeCode',
    about:
      'CMD_RESUME with Ac = 0 is answered with SUCCESS (policy pageFaults: forwarded): the aborted transaction is tried again, ' +
      'faults again, and so on.',
    instead: () => 0,
  },
  {
    name: 'vmm.stall-term-dropped',
    rule: 'stallTermAnswers',
    about:
      'CMD_STALL_TERM is consumed although stalls are offered (policy pageFaults: forwarded): the device’s stalls stay.',
    instead: () => false,
  },
  {
    name: 'vmm.faults-kept',
    rule: 'forgetsFaults',
    about:
      'Faults of an attachment that has ended stay in the VMM’s list (policy pageFaults: forwarded). The kernel has answered them ' +
      'and may have given their cookie to another fault, which the guest’s late CMD_RESUME then answers.',
    instead: () => false,
  },
];
