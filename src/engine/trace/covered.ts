import type { Covered, CoveredRow, ReadStep, WalkStage } from './events.ts';

/** What events say of the walk that they are part of. Built only while somebody listens. */

/** The stages of a walk; either may not translate. */
export interface WalkStages {
  readonly first?: WalkStage;
  readonly second?: WalkStage;
}

/** The stage of a read, and the one that it is made for. */
export function stageOf(step: ReadStep, { first, second }: WalkStages): Pick<ReadStep, 'stage' | 'first'> {
  if (step.what === 'S1') return { ...(first && { stage: first }) };
  return { ...(second && { stage: second }), ...(first && step.purpose === 'S1' && { first }) };
}

const whole = (s: WalkStages, what: CoveredRow['what'], level: number, entry = true): CoveredRow => ({
  what,
  level,
  second: s.second?.levels ?? [],
  entry,
});

const stagesOf = (s: WalkStages): WalkStages => ({
  ...(s.first && { first: s.first }),
  ...(s.second && { second: s.second }),
});

/** Levels of a stage before one, which need not be among them. */
export const levelsBefore = (s: WalkStage, level: number): readonly number[] => {
  const i = s.levels.indexOf(level);
  return i < 0 ? s.levels : s.levels.slice(0, i);
};

/** Levels of a stage from the first to one. */
export const levelsTo = (s: WalkStage, level: number): readonly number[] => {
  const i = s.levels.indexOf(level);
  return i < 0 ? s.levels : s.levels.slice(0, i + 1);
};

/** Records of the configuration. @param second  they are found through the second stage */
export function coveredRecords(names: readonly CoveredRow['what'][], second?: WalkStage): Covered {
  const s = { ...(second && { second }) };
  return { ...s, rows: names.map((n) => whole(s, n, -1)), ...(second && { most: true }) };
}

/** First-stage tables above one, whose place in physical memory is known. */
export function coveredTables(s: WalkStages, level: number): Covered {
  const above = s.first ? levelsBefore(s.first, level) : [];
  const rows = above.map((l) => whole(s, 'S1', l));
  if (s.second) rows.push(whole(s, 'S1', level, false));
  return { ...stagesOf(s), rows, ...(s.second && { most: true }) };
}

/**
 * The whole translation.
 * @param last level of the leaf: that of the first stage, or where there is none that of the second
 */
export function coveredTranslation(s: WalkStages, last: number): Covered {
  const { first, second } = s;
  if (!first) {
    const rows = second ? [{ what: 'out', level: -1, second: levelsTo(second, last), entry: false } as const] : [];
    return { ...stagesOf(s), rows };
  }
  const rows = levelsTo(first, last).map((l) => whole(s, 'S1', l));
  if (second) rows.push(whole(s, 'out', -1, false));
  return { ...stagesOf(s), rows, ...(second && { most: true }) };
}

/** Second-stage reads of one row, that of the read `step`. */
export const coveredSecond = (s: WalkStages, step: ReadStep, levels: readonly number[]): Covered => ({
  ...stagesOf(s),
  rows: [{ what: step.purpose ?? 'out', level: step.s1Level, second: levels, entry: false }],
});
