import type { VmmDeviation } from './deviation.ts';
import { vmmRules } from './rules.ts';

/** How a VMM can leave a PASID on the wrong page table. */
export const bindingDeviations: readonly VmmDeviation[] = [
  {
    name: 'vmm.pc-forgotten',
    rule: 'readsPasidTable',
    about:
      'PASID-cache invalidations empty the emulator’s own cache and nothing else. A nested HWPT is a cached PASID entry: the ' +
      'device goes on with the page table that the guest has taken away, and a new one is never bound.',
    instead: () => false,
  },
  {
    name: 'vmm.pc-selective-only',
    rule: 'readsPasidTable',
    about:
      'Only the PASID-selective form is acted on: a guest that clears many entries and sends one global PC_INV keeps them all.',
    instead: (r) => r.kind === 'pasid',
  },
  {
    name: 'vmm.pc-did-unchecked',
    rule: 'picks',
    about:
      'The walk of the guest’s table does not compare DIDs: an invalidation of one domain also binds what the guest has changed in ' +
      'another and not yet invalidated.',
    instead: () => true,
  },
  {
    name: 'vmm.pc-any-binding',
    rule: 'concerns',
    about:
      'A PASID-cache invalidation of one domain looks at the bindings of all: those that the guest has cleared but not yet ' +
      'invalidated end early.',
    instead: (r, _did, pasid) => r.kind !== 'pasid' || r.pasid === pasid,
  },
  {
    name: 'vmm.no-replace',
    rule: 'differs',
    about:
      'An entry that is bound already is not looked at again: a guest that changes the page table of a PASID in place keeps the ' +
      'old one on the host. Linux takes the entry away first, so that it never shows there.',
    instead: () => false,
  },
  {
    name: 'vmm.replace-by-table-only',
    rule: 'differs',
    about:
      'Only FSPTPTR is compared: a new DID is not noticed, and invalidations that carry it find no HWPT. It shows where an entry ' +
      'changes in place.',
    instead: (was, is) => (was[2]! & ~0xfffn) !== (is[2]! & ~0xfffn),
  },
  {
    name: 'vmm.pasid0-not-needed',
    rule: 'needsPasidZero',
    about:
      'What the architecture says, and QEMU does not do: PASIDs of a device are looked up whether or not its PASID 0 entry is ' +
      'valid. With QEMU a device without one has no PASID at all.',
    instead: () => false,
  },
  {
    name: 'vmm.cc-device-rebinds',
    rule: 'contextInvRebinds',
    about:
      'What QEMU’s mainline does: a context-cache invalidation of one device reads the PASID tables again, since Linux 6.7-rc2 sent ' +
      'nothing else. The newer series waits for the PASID-cache invalidation that must follow.',
    instead: () => true,
  },
  {
    name: 'vmm.cc-global-local',
    rule: 'replays',
    about:
      'A global context-cache invalidation binds nothing: a guest that sends it alone, against the order of the specification, keeps ' +
      'its old bindings.',
    instead: (at) => at !== 'cc-global',
  },
  {
    name: 'vmm.no-replay-at-te',
    rule: 'replays',
    about:
      'Switching translation on binds nothing. PASID-cache invalidations before TE have no effect, so that devices whose entries are ' +
      'there by then stay on all of guest memory. It shows where TE is toggled: guests here attach after they have booted.',
    instead: (at) => at !== 'te',
  },
  {
    name: 'vmm.te-blocks-unbound',
    rule: 'blocksUnbound',
    about:
      'What QEMU does not do: a device whose PASID 0 entry is not present is blocked when translation comes on. As it stands the ' +
      'attachment to the nesting parent lasts until the guest has bound the device once: it reaches all of guest memory.',
    instead: () => true,
  },
  {
    name: 'vmm.te-off-detaches',
    rule: 'keepsBindingsAtTeOff',
    about:
      'What QEMU means to do and does not: clearing TE ends all bindings. As it stands those whose guest entries are intact survive.',
    instead: () => false,
  },
  {
    name: 'vmm.pass-through-refused',
    rule: 'wants',
    about:
      'A pass-through entry is refused like an unknown one: the device stays blocked, since Linux has taken the old entry away ' +
      'first. Where an entry changes in place the device keeps its old page table although the guest asked for none.',
    instead: (entry) => (vmmRules.wants(entry) === 'nested' ? 'nested' : 'invalid'),
  },
  {
    name: 'vmm.table-address-unmasked',
    rule: 'hwptData',
    about:
      'FSPTPTR goes to the kernel with the low bits of its word. The kernel ORs them into the PASID entry: SRE, FSPM, WPE and EAFE ' +
      'of the guest arrive unchecked. Linux has none of them set.',
    instead: (entry) => ({ ...vmmRules.hwptData(entry), pgtbl_addr: entry[2]! }),
  },
  {
    name: 'vmm.supervisor-flags-lost',
    rule: 'hwptData',
    about:
      'SRE and WPE are not copied: supervisor requests that the guest allows fault in the host (SPT.6). Linux ' +
      'sets neither for DMA or SVA.',
    instead: (entry) => ({ ...vmmRules.hwptData(entry), flags: vmmRules.hwptData(entry).flags & 2n }),
  },
  {
    name: 'vmm.width-from-aw',
    rule: 'hwptData',
    about:
      'The width comes from AW, which is the second stage’s field, instead of from FSPM. Linux writes the unit’s own width there, ' +
      '2 for 48 bits; another guest may leave it 0, and the attach fails with EINVAL.',
    instead: (entry) => ({
      ...vmmRules.hwptData(entry),
      addr_width: 30 + 9 * Number((entry[0]! >> 2n) & 7n),
    }),
  },
  {
    name: 'vmm.destroy-before-attach',
    rule: 'replaceOrder',
    about:
      'The old nested HWPT is destroyed before the device has left it: EBUSY, and the object stays for good. It shows where an entry ' +
      'changes in place; Linux takes it away first.',
    instead: () => 'destroy-first',
  },
  {
    name: 'vmm.detach-before-attach',
    rule: 'detachesFirst',
    about:
      'A replaced HWPT is detached first: the PASID is blocked in between, and for good when the new HWPT cannot be attached. It ' +
      'shows where an entry changes in place.',
    instead: () => true,
  },
  {
    name: 'vmm.failed-attach-leaks',
    rule: 'destroysAfterFailure',
    about:
      'A nested HWPT that cannot be attached is not destroyed: one more object for each try, and the parent can never go. ' +
      'It shows where the kernel refuses an attach.',
    instead: () => false,
  },
  {
    name: 'vmm.unbind-to-parent',
    rule: 'unbindsTo',
    about:
      'A device whose PASID 0 entry goes away is put on the default HWPT instead of being blocked: between two domains it reaches ' +
      'all of guest memory.',
    instead: (pasid) => (pasid === 0 ? 'default' : 'nothing'),
  },
];
