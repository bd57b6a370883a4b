import { resetRegisterOnly } from '../../vmm/index.ts';
import type { VmmDeviation } from './deviation.ts';
import { vmmRules } from './rules.ts';

const RESET_AT_SETUP = 'A document resets the machine before the guest boots only, so that it shows nothing.';

/** How a VMM can go wrong at reset, with devices that come and go, and with faults. */
export const machineDeviations: readonly VmmDeviation[] = [
  { ...resetRegisterOnly, about: `${resetRegisterOnly.about} ${RESET_AT_SETUP}` },
  {
    name: 'vmm.registers-survive-reset',
    rule: 'resetsRegisters',
    about:
      'Registers keep their values over a machine reset, so firmware runs with translation on and the old root table; the bindings ' +
      `stay too, since their entries can still be read. ${RESET_AT_SETUP}`,
    instead: () => false,
  },
  {
    name: 'vmm.parent-not-shared',
    rule: 'sharesParents',
    about: 'Every device gets a nesting parent of its own: the second stage exists once for each, page table and all.',
    instead: () => false,
  },
  {
    name: 'vmm.parent-einval-fatal',
    rule: 'parentRefused',
    about:
      'EINVAL from a parent that does not fit a device’s unit ends the plug instead of leading to a parent of the device’s own.',
    instead: () => 'fail',
  },
  {
    name: 'vmm.unplug-forgets-bindings',
    rule: 'unbindsAtUnplug',
    about:
      'What QEMU’s series does: nested HWPTs of a device that its guest has not let go are forgotten when it is unplugged. They ' +
      'stay in the kernel, and their parent cannot be destroyed (EBUSY).',
    instead: () => false,
  },
  {
    name: 'vmm.fault-pasid-whole',
    rule: 'recordedPasid',
    about: 'What the architecture says, and QEMU’s encoder does not do: a fault record keeps all 20 bits of the PASID.',
    instead: (pasid) => pasid,
  },
  {
    name: 'vmm.request-page-kept',
    rule: 'invalidatesRequestedPage',
    about:
      'A page request does not invalidate the page that it is about (policy pageFaults: forwarded). Hardware does so implicitly, ' +
      'and guests need not do it again.',
    instead: () => false,
  },
  {
    name: 'vmm.request-never-last',
    rule: 'pageRequest',
    about:
      'LPIG is not copied to the guest’s descriptor (policy pageFaults: forwarded): the guest waits for the rest of the group and ' +
      'never answers.',
    instead: (r) => vmmRules.pageRequest({ ...r, last: false }),
  },
  {
    name: 'vmm.request-write-lost',
    rule: 'pageRequest',
    about:
      'Every page request says that it reads only (policy pageFaults: forwarded): the guest maps the page read-only, and the write ' +
      'faults again and again.',
    instead: (r) => vmmRules.pageRequest({ ...r, read: true, write: false }),
  },
  {
    name: 'vmm.lost-group-answered',
    rule: 'lostGroup',
    about:
      'What QEMU’s series does not do: a group that cannot reach the guest (no PASID, queue full, PRE clear) is answered as invalid ' +
      'at once (policy pageFaults: forwarded). As it stands the device waits until its attachment ends.',
    instead: () => 'answer',
  },
  {
    name: 'vmm.response-dropped',
    rule: 'responseCode',
    about:
      'The guest’s page group responses end in the emulator, as in the part of QEMU’s series that reads faults only (policy ' +
      'pageFaults: forwarded): the device never goes on.',
    instead: () => null,
  },
  {
    name: 'vmm.response-always-success',
    rule: 'responseCode',
    about:
      'Every response becomes SUCCESS (policy pageFaults: forwarded): the device repeats an access that the guest has refused.',
    instead: () => 0,
  },
  {
    name: 'vmm.response-failure-as-invalid',
    rule: 'responseCode',
    about:
      'What QEMU’s series does not do: any code above 1 becomes INVALID. It passes 2 on for a response failure, the kernel refuses ' +
      'that with EINVAL, and the group stays without an answer (policy pageFaults: forwarded).',
    instead: (rc) => (rc === 0 ? 0 : 1),
  },
  {
    name: 'vmm.response-without-pasid',
    rule: 'responseNeedsPasid',
    about: 'What hardware does, and QEMU does not: a page group response without PASID is legal.',
    instead: () => false,
  },
];
