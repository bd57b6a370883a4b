export { drawLine, type LinePicture } from './draw.ts';
export { foldAll, noFolds, setFold } from './folds.ts';
export { LineMarks } from './Line.tsx';
export { type Geometry, headHeight, headSize, layoutLanes, leastWidth, lineHeight } from './lanes.ts';
export { createParties, type Parties } from './parties.ts';
export { Ladder, type LadderRows } from './rows.ts';
export { type LadderPictureInput, ladderSvg } from './svg.ts';
export { type LadderText, type LadderTextLine, ladderPlainText, ladderText } from './text.ts';
export type { Folds, LadderCost, LadderNode, LadderRow, LadderStep, Party } from './types.ts';
