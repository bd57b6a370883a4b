export { devicesOf, parseGoal, pathText } from './goto.ts';
export { keysOf, rootKey, TableReader } from './reader.ts';
export { closedKey, type Filter, type Row, rowsOf } from './rows.ts';
export { rangeText } from './say.ts';
export { TableTree } from './TableTree.tsx';
export { tablesText } from './text.ts';
