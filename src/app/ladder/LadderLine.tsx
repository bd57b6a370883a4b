import { type MouseEvent, memo, useMemo } from 'react';
import type { StepRecord } from '../../store/index.ts';
import {
  drawLine,
  type Geometry,
  type Ladder,
  type LadderRow,
  LineMarks,
  lineHeight,
} from '../../views/ladder/index.ts';

export interface LineProps {
  readonly id: string;
  readonly row: LadderRow;
  readonly record: StepRecord;
  readonly ladder: Ladder;
  readonly geometry: Geometry;
  readonly title: string;
  /** Line of the list. */
  readonly index: number;
  readonly state: 'past' | 'now' | 'future';
  /** How much of what a folded line stands for has happened, 0..1; only of the line at the playing head. */
  readonly done: number;
  readonly cursor: boolean;
  readonly marked: boolean;
  readonly onActivate: (index: number) => void;
  readonly onToggle: (index: number) => void;
  readonly onObject: (index: number) => void;
}

/** One line of the ladder; drawn again only when something of it has changed. */
export const LadderLine = memo(function LadderLine(p: LineProps) {
  const { row, record, ladder, geometry, title, index } = p;
  const picture = useMemo(() => drawLine(ladder, row, record, geometry, title), [ladder, row, record, geometry, title]);
  const toggle = (e: MouseEvent): void => {
    e.stopPropagation();
    p.onToggle(index);
  };
  const object = row.kind !== 'step' && row.kind !== 'cost' && row.to >= row.from;
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents lint/a11y/useFocusableInteractive: the tree has the focus and the keys
    <div
      role="treeitem"
      id={p.id}
      aria-label={picture.full}
      aria-level={row.depth + 1}
      aria-expanded={row.open ?? undefined}
      aria-selected={p.state === 'now'}
      title={picture.full}
      className="ladder-line"
      data-kind={row.kind}
      data-state={p.state}
      data-cursor={p.cursor || undefined}
      data-marked={p.marked || undefined}
      style={{ top: `${(index * lineHeight) / 16}rem` }}
      onClick={() => {
        if (String(window.getSelection() ?? '') === '') p.onActivate(index);
      }}
      onDoubleClick={() => p.onObject(index)}
    >
      <svg
        aria-hidden="true"
        viewBox={`0 0 ${geometry.width} ${lineHeight}`}
        style={{ width: `${geometry.width / 16}rem`, height: `${lineHeight / 16}rem` }}
      >
        <LineMarks picture={picture} />
        {p.marked && <path className="ladder-mark" d={`M${geometry.width - 12} 7l5 5 -5 5 -5 -5z`} />}
      </svg>
      {/* biome-ignore lint/a11y/useKeyWithClickEvents lint/a11y/noStaticElementInteractions: arrow keys fold */}
      {row.open !== null && <span className="ladder-fold" title={row.open ? 'Fold' : 'Unfold'} onClick={toggle} />}
      {object && (
        // biome-ignore lint/a11y/useKeyWithClickEvents lint/a11y/noStaticElementInteractions: Shift and Enter do the same
        <span
          className="ladder-object"
          title="Select the object (double click, Shift Enter)"
          onClick={(e) => {
            e.stopPropagation();
            p.onObject(index);
          }}
        />
      )}
      {p.state === 'now' && <span className="ladder-head" style={{ width: `${p.done * 100}%` }} />}
      {p.cursor && picture.cut && <span className="ladder-full">{picture.full}</span>}
    </div>
  );
});
