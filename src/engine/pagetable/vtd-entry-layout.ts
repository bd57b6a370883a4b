import { type Field, flag, type Layout } from '../bits/index.ts';

/** What entries of both stages have in common: levels of 512 entries, and a bit that says that an entry maps a page. */

/** PS of an entry that points to a table. */
export const psOfTable: Field = flag(
  'PS',
  0,
  7,
  '0 in an entry that points to a table; reserved at levels 4 and 5.',
  undefined,
  { 0: 'table', 1: 'page' },
);

/** Layouts of the entries that are present. */
export interface PresentLayouts {
  readonly table: Layout;
  readonly page: Layout;
  readonly page2m: Layout;
  readonly page1g: Layout;
}

/** That of a present entry. @param level 5 to 1 @param bits bits 7:0 of the entry */
export function presentLayout(of: PresentLayouts, level: number, bits: number): Layout {
  if (level === 1) return of.page;
  if ((bits & 0x80) !== 0 && level === 2) return of.page2m;
  if ((bits & 0x80) !== 0 && level === 3) return of.page1g;
  return of.table;
}
