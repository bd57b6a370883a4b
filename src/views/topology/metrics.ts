/** Sizes of everything at one density and scale; whole pixels, so that lines are crisp. */
export interface Metrics {
  readonly scale: number;
  /** Title and first line beside each other where they fit. */
  readonly compact: boolean;
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
}

/** `scale` 1 has 12 px titles and 11 px text, the smallest that a projector shows legibly. */
export function metricsOf(scale: number, compact: boolean): Metrics {
  const px = (n: number): number => Math.round(n * scale);
  return {
    scale,
    compact,
    titleSize: 12 * scale,
    textSize: 11 * scale,
    padX: px(8),
    padY: px(compact ? 3 : 5),
    titleLine: px(15),
    textLine: px(13.5),
    ringHeight: px(11),
    rowHeight: px(compact ? 14 : 16),
    gapX: px(14),
    gapY: px(compact ? 6 : 8),
    lane: px(compact ? 18 : 20),
    bandPad: px(compact ? 5 : 8),
    edge: px(10),
    minColumn: px(100),
    maxColumn: px(176),
  };
}

/** Tried in this order; the first that fits the room is taken. The last is used even when it doesn't fit. */
export const candidates: readonly { readonly scale: number; readonly compact: boolean }[] = [
  ...[2, 1.8, 1.65, 1.5, 1.4, 1.3, 1.2, 1.1, 1].map((scale) => ({ scale, compact: false })),
  { scale: 1, compact: true },
];
