/** Interrupt remapping table entry, in both formats. Source: Intel VT-d specification, 9.9 and 9.10 (IRTE). */

import type { Layout } from '../../bits/index.ts';
import { decBits, enumBits, flag, hexBits } from '../../bits/index.ts';

type Get = (name: string) => bigint;

const present = (get: Get): boolean => get('P') === 1n;

const common = [
  flag('P', 0, 0, 'Without it the interrupt is blocked.'),
  flag('FPD', 0, 1, 'Qualified faults of this interrupt are not recorded.'),
];
const source = [
  hexBits('SID', 1, 15, 0, 'Requester that may use the entry.', (get) => present(get) && get('SVT') !== 0n),
  enumBits(
    'SQ',
    1,
    17,
    16,
    'Which bits of the requester are compared.',
    ['all', 'all but function bit 2', 'all but function bits 2:1', 'all but function bits 2:0'],
    (get) => present(get) && get('SVT') === 1n,
  ),
  enumBits(
    'SVT',
    1,
    19,
    18,
    'How the requester is verified.',
    ['not at all', 'SID and SQ', 'by bus range in SID', 'reserved'],
    present,
  ),
];
const vector = hexBits('V', 0, 23, 16, 'Vector of the interrupt.', present);
const mode = (get: Get): boolean => present(get);

export const irteLayout: Layout = {
  id: 'vtd.irte',
  name: 'IRTE',
  title: 'Interrupt remapping table entry, remapped format',
  words: 2,
  source: 'Intel VT-d, 9.9',
  fields: [
    ...common,
    flag('DM', 0, 2, 'How DST names the target.', mode, { 0: 'physical', 1: 'logical' }),
    flag('RH', 0, 3, 'The interrupt goes to one of the targets only.', mode),
    flag('TM', 0, 4, 'Trigger mode.', mode, { 0: 'edge', 1: 'level' }),
    enumBits(
      'DLM',
      0,
      7,
      5,
      'Delivery mode.',
      ['fixed', 'lowest priority', 'SMI', '', 'NMI', 'INIT', '', 'ExtINT'],
      mode,
    ),
    hexBits('AVAIL', 0, 11, 8, 'Left to software.'),
    flag('IM', 0, 15, 'Format of the entry.', mode, { 0: 'remapped', 1: 'posted' }),
    vector,
    hexBits('DST', 0, 63, 32, 'APIC id of the target.', mode),
    ...source,
  ],
};

export const irtePostedLayout: Layout = {
  id: 'vtd.irte.posted',
  name: 'IRTE',
  title: 'Interrupt remapping table entry, posted format',
  words: 2,
  source: 'Intel VT-d, 9.10',
  fields: [
    ...common,
    hexBits('AVAIL', 0, 11, 8, 'Left to software.'),
    flag('URG', 0, 14, 'Urgent: the running virtual CPU is notified at once.', mode),
    flag('IM', 0, 15, 'Format of the entry.', mode, { 0: 'remapped', 1: 'posted' }),
    vector,
    decBits('PDA_L', 0, 63, 38, 'Bits 31:6 of the address of the posted interrupt descriptor.', mode),
    ...source,
    hexBits('PDA_H', 1, 63, 32, 'Bits 63:32 of the address of the posted interrupt descriptor.', mode),
  ],
};

/** The layout that bit 15 (IM) of the first word selects. */
export const irteLayoutOf = (words: ArrayLike<bigint>): Layout =>
  ((words[0] ?? 0n) >> 15n) & 1n ? irtePostedLayout : irteLayout;
