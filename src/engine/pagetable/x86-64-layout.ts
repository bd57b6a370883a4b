/**
 * First-stage paging entries of VT-d (the x86-64 format, 4 or 5 levels of 512 entries) as layouts.
 * Levels are the specification's: 5 or 4 at the top, 1 at the bottom.
 * Source: Intel VT-d specification, 9.8 (first-stage paging entries).
 */

import type { Field, Layout } from '../bits/index.ts';
import { addrBits, decBits, flag, hexBits } from '../bits/index.ts';
import { presentLayout, psOfTable } from './vtd-entry-layout.ts';

const SOURCE = 'Intel VT-d, 9.8';

const present = flag('P', 0, 0, 'Without it the entry maps nothing (SFS.2) and hardware ignores all other bits.');
const low: readonly Field[] = [
  present,
  flag('R/W', 0, 1, 'Writes are allowed; for supervisor writes only where the PASID entry sets WPE.', undefined, {
    0: 'read-only',
    1: 'writable',
  }),
  flag('U/S', 0, 2, 'User requests may pass; they need it at every level.', undefined, {
    0: 'supervisor only',
    1: 'user',
  }),
  flag('PWT', 0, 3, 'Write-through, as one of the inputs of the PAT.'),
  flag('PCD', 0, 4, 'Cache disable, as one of the inputs of the PAT.'),
  flag('A', 0, 5, 'Hardware sets it when the entry is used in a translation.'),
];
const software9 = hexBits('SW9', 0, 9, 9, 'Left to software.');
const software11 = hexBits('SW11', 0, 11, 11, 'Left to software.');
const extended = flag('EA', 0, 10, 'Hardware sets it when the entry is used and the PASID entry sets EAFE.');
const high: readonly Field[] = [
  hexBits('SW', 0, 62, 52, 'Left to software.'),
  flag('XD', 0, 63, 'Execute requests are refused, where the PASID entry sets NXE.'),
];

const leafLow: readonly Field[] = [...low, flag('D', 0, 6, 'Hardware sets it at a write through the entry.')];
const leafTail: readonly Field[] = [
  flag('G', 0, 8, 'Global, which hardware ignores for requests of devices.'),
  software9,
  extended,
  software11,
];
const pageSize = (what: string): Field =>
  flag('PS', 0, 7, 'The entry maps a page itself; 0 means that it points to a table.', undefined, {
    0: 'table',
    1: what,
  });
const nested = 'a guest physical address if the second stage translates, else a physical address';

const table: Layout = {
  id: 'x86.table',
  name: 'FS table',
  title: 'First-stage entry that points to a table',
  words: 1,
  source: SOURCE,
  fields: [
    ...low,
    decBits('Ignored6', 0, 6, 6, 'Ignored: only an entry that maps a page has a dirty bit.'),
    psOfTable,
    decBits('Ignored8', 0, 8, 8, 'Ignored: only an entry that maps a page can be global.'),
    software9,
    extended,
    software11,
    addrBits('ADDR', 0, 51, 12, `Next table: ${nested}.`),
    ...high,
  ],
};

const large = (id: string, name: string, size: string, shift: number): Layout => ({
  id,
  name,
  title: `First-stage entry that maps a page of ${size}`,
  words: 1,
  source: SOURCE,
  fields: [
    ...leafLow,
    pageSize(size),
    ...leafTail,
    flag('PAT', 0, 12, 'Third input of the PAT.'),
    addrBits('ADDR', 0, 51, shift, `Page: ${nested}.`),
    ...high,
  ],
});

const page: Layout = {
  id: 'x86.page',
  name: 'FS page',
  title: 'First-stage entry that maps a page of 4 KiB',
  words: 1,
  source: SOURCE,
  fields: [
    ...leafLow,
    flag('PAT', 0, 7, 'Third input of the PAT.'),
    ...leafTail,
    addrBits('ADDR', 0, 51, 12, `Page: ${nested}.`),
    ...high,
  ],
};
const page2m = large('x86.2m', 'FS 2 MiB page', '2 MiB', 21);
const page1g = large('x86.1g', 'FS 1 GiB page', '1 GiB', 30);

const absent: Layout = {
  id: 'x86.absent',
  name: 'FS not present',
  title: 'First-stage entry that maps nothing',
  words: 1,
  source: SOURCE,
  fields: [present, hexBits('Ignored', 0, 63, 1, 'Ignored by hardware.')],
};

export const x86Layouts: readonly Layout[] = [table, page, page2m, page1g, absent];

const presentLayouts = { table, page, page2m, page1g };

/** log2 of the bytes that one entry of a level (1 to 5) covers; the same for both stages. */
export const vtdLevelShift = (level: number): number => 12 + 9 * (level - 1);

/**
 * The layout of one first-stage entry.
 * @param level 5 to 1 @param low the entry or its low 32 bits: bits 0 (P) and 7 (PS) decide
 */
export function x86EntryLayout(level: number, low: number | bigint): Layout {
  const bits = Number(BigInt.asUintN(8, BigInt(low)));
  if ((bits & 1) === 0) return absent;
  return presentLayout(presentLayouts, level, bits);
}
