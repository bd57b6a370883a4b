/**
 * How a box holds its text: `roomy` has all lines below the title, `compact` has the first beside it where it fits, `short`
 * leaves out the second line, `dense` has one line only and cuts what is too long.
 */
export type Density = 'roomy' | 'compact' | 'short' | 'dense';

/** Sizes of everything at one density and scale; mostly whole pixels, so that lines are crisp. */
export interface Metrics {
  readonly scale: number;
  readonly density: Density;
  /** Tables have no line of column names, their first row stands beside the title. */
  readonly flat: boolean;
  readonly titleSize: number;
  readonly textSize: number;
  readonly padX: number;
  readonly padY: number;
  readonly titleLine: number;
  readonly textLine: number;
  readonly ringHeight: number;
  readonly rowHeight: number;
  /** Between columns: room for two arrows and their heads. */
  readonly gapX: number;
  /** Between boxes of a column. */
  readonly gapY: number;
  readonly lane: number;
  readonly bandPad: number;
  /** From the diagram's edges. */
  readonly edge: number;
  /** Narrowest and widest column, of devices and of common objects. */
  readonly minColumn: number;
  readonly maxColumn: number;
  /** A line longer than this does not widen its column. */
  readonly longLine: number;
}

/** `scale` 1 has 12 px titles and 11 px text, the smallest that a projector shows legibly. */
export function metricsOf(scale: number, density: Density): Metrics {
  const px = (n: number): number => Math.round(n * scale);
  const of = (roomy: number, compact: number, dense: number): number =>
    px(density === 'roomy' ? roomy : density === 'dense' ? dense : compact);
  return {
    scale,
    density,
    flat: density === 'dense',
    titleSize: 12 * scale,
    textSize: 11 * scale,
    padX: of(8, 6, 6),
    padY: of(5, 3, 2),
    titleLine: px(15),
    textLine: px(13.5),
    ringHeight: px(11),
    rowHeight: of(16, 14, 14),
    gapX: of(14, 12, 12),
    gapY: of(8, 6, 4),
    lane: of(20, 18, 15),
    bandPad: of(8, 5, 4),
    edge: of(10, 8, 8),
    minColumn: px(96),
    maxColumn: px(176),
    longLine: px(124),
  };
}

export interface Candidate {
  readonly scale: number;
  readonly density: Density;
}

/** Tried in this order; the first that fits the room is taken. The last is used even when it doesn't fit. */
export const candidates: readonly Candidate[] = [
  ...[3.4, 3, 2.7, 2.4, 2.2, 2, 1.8, 1.7, 1.6, 1.5, 1.4, 1.3, 1.25, 1.2, 1.15, 1.1, 1.05, 1].flatMap(
    (scale): Candidate[] => [
      { scale, density: 'roomy' },
      { scale, density: 'compact' },
      ...(scale > 1 ? [{ scale, density: 'short' as const }] : []),
    ],
  ),
  { scale: 1, density: 'dense' },
];
