export {
  arrange,
  columnNames,
  countStates,
  countsText,
  type Filter,
  noFilter,
  type Show,
  type Sort,
  type SortKey,
  shows,
} from './arrange.ts';
export {
  blocksIn,
  columnWidths,
  headHeight,
  layoutFrame,
  lineAt,
  lineOfEntry,
  rowHeight,
  rowsIn,
  stack,
} from './layout.ts';
export { type Cache, cachesOf, type Entry, entriesAt, type Place } from './model.ts';
export { type Doing, EntryRow, GroupHead, rem, SectionHead } from './Rows.tsx';
export { cachesPlainText, cachesText, type TextSection } from './text.ts';
export { type TimeScale, xOf } from './timeline.ts';
