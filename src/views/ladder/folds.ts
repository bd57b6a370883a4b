import type { Folds, LadderNode, LadderRow } from './types.ts';

export const noFolds: Folds = { mode: 'auto', steps: new Map(), groups: new Map() };

/** Everything open, or everything folded; what was said of single groups is forgotten. */
export const foldAll = (mode: Folds['mode']): Folds => ({ ...noFolds, mode });

/** A group's key within its step. */
export const groupKey = (n: LadderNode): string => `${n.kind === 'call' ? 'c' : 'r'}${n.first}`;

export const isStepOpen = (folds: Folds, step: number, current: number): boolean =>
  folds.steps.get(step) ?? (folds.mode === 'auto' ? step === current : folds.mode === 'open');

export const isGroupOpen = (folds: Folds, step: number, n: LadderNode): boolean =>
  folds.groups.get(step)?.get(groupKey(n)) ?? (folds.mode === 'auto' ? n.kind === 'call' : folds.mode === 'open');

/** The same folds with one line's group opened or folded. */
export function setFold(folds: Folds, row: Pick<LadderRow, 'kind' | 'step' | 'group'>, open: boolean): Folds {
  if (row.kind === 'step') return { ...folds, steps: new Map(folds.steps).set(row.step, open) };
  const groups = new Map(folds.groups.get(row.step)).set(row.group, open);
  return { ...folds, groups: new Map(folds.groups).set(row.step, groups) };
}
