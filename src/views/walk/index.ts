export { walkAt, walksOf } from './model.ts';
export { countText, requestText } from './text.ts';
export type { Walk } from './types.ts';
export { type CellChoice, WalkGrid, type WalkSelection } from './WalkGrid.tsx';
export { WalkText } from './WalkText.tsx';
