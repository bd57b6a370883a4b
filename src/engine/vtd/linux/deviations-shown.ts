/** Where on this machine the effect of a broken rule shows, or that it does not; of the others caches and results tell. */

const DEVICE_TLB =
  'In a guest only its own queue shows it: the VMM lets device-TLB descriptors go, and the host’s driver sends its own.';
const IN_ORDER = 'What executes the queue does so in order, so that only the queue shows it.';
const BY_PASID_CACHE = 'The VMM follows the PASID cache, not this descriptor: in a guest only the queue shows it.';
const COHERENCY =
  'Linux does so when coherency is enforced on a domain that has devices. iommufd enforces it when the page table is made, so a ' +
  'document shows nothing.';
const NEVER_RELEASED = 'The host of this machine releases no device, so a document shows nothing.';
const NEVER_ABSENT = 'No device of this machine leaves the bus like that, so a document shows nothing.';

const inGuest: Readonly<Record<string, string>> = {
  'no-dev-tlb-tag': DEVICE_TLB,
  'no-dev-tlb-tag-late-ats': DEVICE_TLB,
  'whole-dev-tlb-without-pasid': DEVICE_TLB,
  'no-dev-tlb-inv': DEVICE_TLB,
  'dev-tlb-first': DEVICE_TLB,
  'no-dev-tlb-inv-on-tear-down': DEVICE_TLB,
  'release-ats-first': DEVICE_TLB,
  'flush-without-wait': 'The VMM has done everything before the doorbell returns: in a guest only the queue shows it.',
  'no-iotlb-inv-on-tear-down':
    'In a guest nothing is stale for it: PC_INV has ended the binding before, and the host’s driver has flushed.',
  'no-flush-on-change': COHERENCY,
  'asks-absent-device': NEVER_ABSENT,
  'context-no-flush-on-set-up': BY_PASID_CACHE,
  'context-no-flush-on-tear-down': BY_PASID_CACHE,
  'root-no-flush': 'A vIOMMU offers ESRTPS, so that a guest need not send anything and shows nothing.',
  'no-drain': IN_ORDER,
  'drain-without-fence': IN_ORDER,
  'aborts-odd-slots': 'A vIOMMU never reports ITE: only a host shows it.',
};

const onHost: Readonly<Record<string, string>> = {
  'no-dev-tlb-tag-late-ats':
    'The host of this machine switches ATS on before it attaches anything, so a document shows nothing.',
  'no-flush-on-change': COHERENCY,
  'asks-absent-device': NEVER_ABSENT,
  'context-no-flush-on-tear-down': NEVER_RELEASED,
  'release-ats-first': NEVER_RELEASED,
  'root-no-flush': 'Nothing ran before on this machine: only the queue shows it.',
  'drain-without-fence': IN_ORDER,
};

/** A sentence to go behind what the deviation is about, with a space before it; '' for most. */
export function shown(of: 'host' | 'guest', name: string): string {
  const text = (of === 'host' ? onHost : inGuest)[name];
  return text ? ` ${text}` : '';
}

/** Names that a sentence is there for. */
export const shownNames = (of: 'host' | 'guest'): readonly string[] => Object.keys(of === 'host' ? onHost : inGuest);
