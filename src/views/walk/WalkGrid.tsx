// biome-ignore-all lint/a11y/useSemanticElements: a table that is drawn has no table elements
import {
  type KeyboardEvent,
  type MouseEvent,
  memo,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import { bandShades, colours, fateShades, monoFont, sansFont } from '../topology/colours.ts';
import { edge, type Line, layoutWalk, neighbour, type PlacedCell, type PlacedHead, type Tone } from './layout.ts';
import { requestText } from './text.ts';
import type { Walk } from './types.ts';
import './walk.css';

/** What a cell stands for, for whoever shows it elsewhere. */
export interface CellChoice {
  /** Position of its event; null: none. */
  readonly event: number | null;
  readonly record: { readonly address: number; readonly layout: string } | null;
  /** Scene object of the cache and its entry. */
  readonly saved: { readonly at: string; readonly row: number } | null;
}

/** What is selected elsewhere, as far as a walk can show it. */
export interface WalkSelection {
  /** Address of a record in host memory. */
  readonly address: number | null;
  /** Position of an event of this step. */
  readonly event: number | null;
  readonly cache: { readonly at: string; readonly row: number } | null;
}

export interface WalkGridProps {
  readonly walk: Walk;
  /** Position of the head in the step. */
  readonly event: number;
  readonly selection: WalkSelection | null;
  /** A cell was chosen: the head goes to its event. */
  readonly onChoose: (cell: CellChoice) => void;
  /** Of the window, in CSS pixels. */
  readonly width: number;
  readonly height: number;
  /** CSS pixels of one unit of the drawing. */
  readonly scale: number;
}

const tones: Readonly<Record<Tone, string>> = {
  ink: colours.ink,
  ink2: colours.ink2,
  ink3: colours.ink3,
  accent: 'var(--accent-ink, #1d4ed8)',
  hit: colours.hitInk,
  bad: colours.removedInk,
  first: bandShades.guest.ink,
  second: bandShades.hardware.ink,
};

const edges = { first: bandShades.guest.line, second: bandShades.hardware.line, record: colours.lineStrong } as const;

function Words({ l }: { l: Line }) {
  return (
    <text
      x={l.x}
      y={l.y}
      fontSize={l.size}
      fontWeight={l.face === 'title' ? 600 : 400}
      fontFamily={l.face === 'mono' ? monoFont : undefined}
      textAnchor={l.anchor === 'start' ? undefined : l.anchor}
      fill={tones[l.tone]}
    >
      {l.text}
      {l.full !== undefined && <title>{l.full}</title>}
    </text>
  );
}

/** How a cell looks: ground, line, whether the line is broken. */
function lookOf(c: PlacedCell): { fill: string; stroke: string; width: number; dash?: string } {
  if (c.stopped) return { fill: colours.removedSoft, stroke: colours.removed, width: 1.5 };
  switch (c.state) {
    case 'reading':
      return { fill: colours.accentSoft, stroke: colours.accent, width: 2 };
    case 'read':
      return { fill: colours.panel, stroke: c.updated ? colours.accent : colours.lineStrong, width: 1 };
    case 'skipped':
      return { fill: fateShades.hit.soft, stroke: fateShades.hit.line, width: 1, dash: '4 3' };
    case 'result':
      return { fill: colours.sunken, stroke: colours.lineStrong, width: 1 };
    case 'beyond':
    case 'unreached':
      return { fill: colours.sunken, stroke: colours.line, width: 1, dash: '2 3' };
    default:
      return { fill: colours.panel, stroke: colours.line, width: 1 };
  }
}

const CellView = memo(function CellView({ c, selected, stop }: { c: PlacedCell; selected: boolean; stop: boolean }) {
  const look = lookOf(c);
  const marked = c.state === 'read' || c.state === 'reading';
  return (
    <g
      role="gridcell"
      tabIndex={stop ? 0 : -1}
      className="walk-cell"
      data-cell={c.key}
      data-state={c.state}
      data-event={c.event ?? undefined}
      aria-label={c.label}
      aria-colindex={c.column + 2}
      aria-selected={selected}
    >
      <rect
        className="walk-frame"
        x={c.x + 0.5}
        y={c.y + 0.5}
        width={c.w - 1}
        height={c.h - 1}
        rx={6}
        fill={look.fill}
        stroke={selected ? colours.accent : look.stroke}
        strokeWidth={selected ? 2.5 : look.width}
        strokeDasharray={selected ? undefined : look.dash}
      />
      {marked && <rect x={c.x} y={c.y + 4} width={edge} height={c.h - 8} rx={2} fill={edges[c.stage]} />}
      {c.lines.map((l) => (
        <Words key={`${l.x} ${l.y}`} l={l} />
      ))}
    </g>
  );
});

function RowHead({ head }: { head: PlacedHead }) {
  return (
    <g role="rowheader" className="walk-pinned" aria-colindex={1}>
      <rect x={0} y={head.y - 2} width={head.x + head.w + 6} height={head.h + 4} fill={colours.panel} />
      {head.lines.map((l) => (
        <Words key={l.y} l={l} />
      ))}
    </g>
  );
}

const arrows: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** Grids that are lower than this have two lines a cell. */
const lowest = 340;

/** One walk as a grid: rows are first-stage entries, columns the second-stage reads that find them. */
export function WalkGrid(p: WalkGridProps) {
  const { walk, event, selection, onChoose, scale } = p;
  const width = p.width / scale;
  const height = p.height / scale;
  const compact = height < lowest;
  const bar = 12 / scale;
  const l = useMemo(() => layoutWalk(walk, event, { width: width - bar, compact }), [walk, event, width, bar, compact]);
  const root = useRef<SVGSVGElement>(null);
  const view = useRef<HTMLDivElement>(null);
  const [stop, setStop] = useState<string | null>(null);

  const isSelected = (c: PlacedCell): boolean =>
    selection !== null &&
    ((c.record !== null && c.record.address === selection.address) ||
      (c.event !== null && c.state !== 'result' && c.state !== 'beyond' && c.event === selection.event) ||
      (c.saved !== null && c.saved.at === selection.cache?.at && c.saved.row === selection.cache.row));

  // The newest cell that the head has come to.
  const now =
    l.cells.find((c) => c.state === 'reading') ??
    l.cells.reduce<PlacedCell | null>(
      (best, c) => (c.event !== null && c.event <= event && c.event >= (best?.event ?? 0) ? c : best),
      null,
    );
  const stopKey = l.cells.some((c) => c.key === stop) ? stop : (now?.key ?? l.cells[0]?.key ?? null);

  const pin = (): void => {
    const el = view.current;
    if (!el) return;
    el.style.setProperty('--walk-x', `${el.scrollLeft / scale}px`);
    el.style.setProperty('--walk-y', `${Math.max(0, el.scrollTop / scale - l.headTop)}px`);
  };
  useLayoutEffect(pin, [l, scale]);
  const target = now ? `${now.x} ${now.y}` : '';
  // biome-ignore lint/correctness/useExhaustiveDependencies: only another cell, grid or window moves the view
  useEffect(() => {
    const el = view.current;
    if (!el || !now) return;
    const left = l.headLeft - 6;
    const top = l.headHeight + 4;
    // Not below the headings, and whole.
    const to = (start: number, size: number, at: number, room: number, kept: number): number => {
      if (start < at + kept) return start - kept;
      return start + size > at + room ? start + size - room + 8 : at;
    };
    const x = to(now.x, now.w, el.scrollLeft / scale, el.clientWidth / scale, left);
    const y = to(now.y, now.h, el.scrollTop / scale, el.clientHeight / scale, top);
    el.scrollTo({ left: Math.max(0, x) * scale, top: Math.max(0, y) * scale });
  }, [target, walk, compact, width, height]);

  const cellAt = (t: EventTarget): PlacedCell | undefined => {
    const key = t instanceof Element ? t.closest('[data-cell]')?.getAttribute('data-cell') : null;
    return l.cells.find((c) => c.key === key);
  };
  const focus = (key: string): void => {
    setStop(key);
    root.current?.querySelector<SVGGElement>(`[data-cell="${key}"]`)?.focus();
  };
  const choose = (c: PlacedCell): void => {
    setStop(c.key);
    onChoose({ event: c.event, record: c.record ?? comingRecord(walk, c), saved: c.saved });
  };
  const onKeyDown = (e: KeyboardEvent): void => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.shiftKey) return;
    const c = cellAt(e.target);
    if (!c) return;
    const to = arrows[e.key];
    if (to) {
      const there = neighbour(l, c.key, to[0], to[1]);
      if (there) focus(there.key);
    } else if (e.key === 'Enter') choose(c);
    else return;
    e.preventDefault();
    e.stopPropagation();
  };
  const onClick = (e: MouseEvent): void => {
    const c = cellAt(e.target);
    if (!c || String(window.getSelection() ?? '') !== '') return;
    choose(c);
  };

  const rows = useMemo(() => l.rows.map((_, i) => l.cells.filter((c) => c.row === i)), [l]);
  return (
    <div ref={view} className="walk" style={{ width: p.width, height: p.height }} onScroll={pin}>
      <svg
        ref={root}
        data-export="walk"
        role="group"
        aria-label={requestText(walk)}
        width={l.width * scale}
        height={l.height * scale}
        viewBox={`0 0 ${l.width} ${l.height}`}
        fontFamily={sansFont}
      >
        <g
          role="grid"
          aria-label={`Walk: ${requestText(walk)}. Arrow keys move among the cells, Enter goes to the read.`}
          aria-colcount={l.columns.length + 1}
          aria-rowcount={l.rows.length + 1}
          onKeyDown={onKeyDown}
          onClick={onClick}
        >
          {rows.map((cells, i) => (
            <g key={l.rows[i]!.key} role="row" aria-rowindex={i + 2}>
              {cells.map((c) => (
                <CellView key={c.key} c={c} selected={isSelected(c)} stop={c.key === stopKey} />
              ))}
              <RowHead head={l.rows[i]!} />
            </g>
          ))}
          <g className="walk-colheads" role="row" aria-rowindex={1}>
            <rect x={0} y={l.headTop} width={l.width} height={l.headHeight - 2} fill={colours.panel} />
            {l.columns.map((h, k) => (
              <g key={h.key} role="columnheader" aria-colindex={k + 2}>
                {h.lines.map((x) => (
                  <Words key={x.y} l={x} />
                ))}
              </g>
            ))}
            <rect
              className="walk-pinned"
              x={0}
              y={l.headTop}
              width={l.headLeft - 4}
              height={l.headHeight - 2}
              fill={colours.panel}
            />
          </g>
        </g>
        <g className="walk-pinned">
          {l.title.map((x) => (
            <Words key={x.y} l={x} />
          ))}
        </g>
      </svg>
    </div>
  );
}

/** The record of a read that is still to come: choosing it goes there, where it is. */
function comingRecord(walk: Walk, c: PlacedCell): CellChoice['record'] {
  if (c.state === 'result') return null;
  for (const row of walk.rows)
    for (const cell of row.entry ? [...row.second, row.entry] : row.second)
      if (cell.key === c.key && cell.read) return { address: cell.read.address, layout: cell.read.layout };
  return null;
}
