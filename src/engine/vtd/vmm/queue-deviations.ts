import type { VmmDeviation } from './deviation.ts';
import { vmmRules } from './rules.ts';

/** How an emulated invalidation queue can take too much, or go on where it must stop. */
export const queueDeviations: readonly VmmDeviation[] = [
  {
    name: 'vmm.reserved-unchecked',
    rule: 'accepts',
    about:
      'Reserved bits of descriptors are not looked at: what a real unit refuses with IQE passes, and the guest’s mistake shows on ' +
      'other machines only.',
    instead: (q) => q.type >= 1 && q.type <= 9 && (q.wide || ![6, 7, 8].includes(q.type)),
  },
  {
    name: 'vmm.wide-in-narrow-queue',
    rule: 'accepts',
    about:
      'PASID-based descriptors are taken in a queue of 128-bit descriptors too. QEMU did so until 3b52cea829 and 8e761fb61c (2024).',
    instead: (q) => vmmRules.accepts({ ...q, wide: true }),
  },
  {
    name: 'vmm.type-of-four-bits',
    rule: 'typeOf',
    about:
      'Only bits 3:0 are taken for the type: a descriptor of a future type with bits 11:9 set is taken for another one, as long ' +
      'as its reserved bits let it pass. QEMU until 663168943d (2024).',
    instead: (word) => Number(word & 15n),
  },
  {
    name: 'vmm.am-unchecked',
    rule: 'largestMask',
    about:
      'What the kernel’s own driver relies on, and QEMU does not do: AM of a PASID-based invalidation may exceed CAP_REG.MAMV. A ' +
      'guest that unmaps 1 GiB from a misaligned address sends AM 19.',
    instead: () => 63,
  },
  {
    name: 'vmm.iqe-skips',
    rule: 'refused',
    about:
      'A descriptor that is refused is passed over without IQE: the guest believes that its invalidation was done.',
    instead: () => 'skip',
  },
  {
    name: 'vmm.iqa-width-unread',
    rule: 'showsQueueWidth',
    about:
      'IQA_REG reads back without DW: a guest that looks at what it has set takes the queue for one of 128-bit descriptors. QEMU ' +
      'until 515457757f (2024).',
    instead: () => false,
  },
  {
    name: 'vmm.iqe-clear-restarts',
    rule: 'iqeClearRestarts',
    about:
      'What QEMU leaves open: the queue goes on as soon as the guest clears FSTS.IQE, instead of at its next write of IQT_REG.',
    instead: () => true,
  },
];
