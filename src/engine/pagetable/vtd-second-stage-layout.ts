/**
 * Second-stage paging entries of VT-d (3 to 5 levels of 512 entries) as layouts. There is no present bit: an entry counts as
 * present when it grants anything. Levels are the specification's: 5 to 3 at the top, 1 at the bottom.
 * Source: Intel VT-d specification, 9.9 (second-stage paging entries).
 */

import type { Field, Layout } from '../bits/index.ts';
import { addrBits, decBits, enumBits, flag, hexBits } from '../bits/index.ts';
import { presentLayout, psOfTable } from './vtd-entry-layout.ts';

const SOURCE = 'Intel VT-d, 9.9';

const rights: readonly Field[] = [
  flag('R', 0, 0, 'Reads are allowed, if every level above allows them too.'),
  flag('W', 0, 1, 'Writes are allowed, if every level above allows them too.'),
  flag('X', 0, 2, 'Execution is allowed; ignored unless the PASID entry sets SSEE and the hardware has it.'),
];
const memoryType: readonly Field[] = [
  enumBits('EMT', 0, 5, 3, 'Memory type, where the hardware and the PASID entry use extended memory types.', [
    'uncacheable',
    'write-combining',
    '',
    '',
    'write-through',
    'write-protected',
    'write-back',
    'as the first stage says',
  ]),
  flag('IPAT', 0, 6, 'The memory type of the first stage is ignored.'),
];
const accessed = flag('A', 0, 8, 'Hardware sets it when the entry is used, where SSADE is set.');
const dirty = flag('D', 0, 9, 'Hardware sets it at a write through the entry, where SSADE is set.');
const snoop = flag('SNP', 0, 11, 'The access snoops the caches of the CPUs; needs ECAP.SC, else reserved.');
const software10 = hexBits('SW10', 0, 10, 10, 'Left to software.');
const high: readonly Field[] = [
  hexBits('SW', 0, 61, 52, 'Left to software.'),
  decBits('TM', 0, 62, 62, 'Reserved; transient mapping in old hardware.'),
  decBits('Ignored63', 0, 63, 63, 'Ignored.'),
];

const table: Layout = {
  id: 'vtdss.table',
  name: 'SS table',
  title: 'Second-stage entry that points to a table',
  words: 1,
  source: SOURCE,
  fields: [
    ...rights,
    hexBits('Ignored', 0, 6, 3, 'Ignored: only an entry that maps a page has a memory type.'),
    psOfTable,
    accessed,
    hexBits('SW9', 0, 9, 9, 'Left to software.'),
    software10,
    addrBits('ADDR', 0, 51, 12, 'Physical address of the next table.'),
    ...high,
  ],
};

const leaf = (id: string, name: string, size: string, shift: number): Layout => ({
  id,
  name,
  title: `Second-stage entry that maps a page of ${size}`,
  words: 1,
  source: SOURCE,
  fields: [
    ...rights,
    ...memoryType,
    shift === 12
      ? decBits('Ignored7', 0, 7, 7, 'Ignored at level 1.')
      : flag('PS', 0, 7, 'The entry maps a page itself; 0 means that it points to a table.', undefined, {
          0: 'table',
          1: size,
        }),
    accessed,
    dirty,
    software10,
    snoop,
    addrBits('ADDR', 0, 51, shift, 'Physical address of the page.'),
    ...high,
  ],
});

const page = leaf('vtdss.page', 'SS page', '4 KiB', 12);
const page2m = leaf('vtdss.2m', 'SS 2 MiB page', '2 MiB', 21);
const page1g = leaf('vtdss.1g', 'SS 1 GiB page', '1 GiB', 30);

const absent: Layout = {
  id: 'vtdss.absent',
  name: 'SS not present',
  title: 'Second-stage entry that grants nothing',
  words: 1,
  source: SOURCE,
  fields: [...rights, hexBits('Ignored', 0, 63, 3, 'Ignored by hardware.')],
};

export const secondStageLayouts: readonly Layout[] = [table, page, page2m, page1g, absent];

const presentLayouts = { table, page, page2m, page1g };

/**
 * The layout of one second-stage entry.
 * @param level 5 to 1 @param low the entry or its low 32 bits: bits 2:0 (R, W, X) and 7 (PS) decide
 * @param execute the PASID entry sets SSEE, so that X alone makes an entry present
 */
export function secondStageEntryLayout(level: number, low: number | bigint, execute = false): Layout {
  const bits = Number(BigInt.asUintN(8, BigInt(low)));
  if ((bits & (execute ? 7 : 3)) === 0) return absent;
  return presentLayout(presentLayouts, level, bits);
}
