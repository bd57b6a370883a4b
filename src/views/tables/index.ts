export { devicesOf, type Goal, parseGoal, pathText } from './goto.ts';
export { keysOf, rootKey, TableReader } from './reader.ts';
export { type Filter, type Row, rowsOf, type TreeState } from './rows.ts';
export { changeText, rangeText, rowText, wordChanges } from './say.ts';
export { TableTree } from './TableTree.tsx';
export { tablesText } from './text.ts';
