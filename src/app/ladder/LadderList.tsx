import {
  type KeyboardEvent,
  type UIEvent,
  useCallback,
  useEffect,
  useId,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import type { StepRecord } from '../../store/index.ts';
import {
  type Folds,
  type Geometry,
  headHeight,
  headSize,
  type Ladder,
  type LadderRow,
  ladderSvg,
  layoutLanes,
  lineHeight,
  setFold,
} from '../../views/ladder/index.ts';
import { bandOfActor, bandStyle } from '../actors.ts';
import { remPixels } from '../bits.ts';
import { useApp, useAppStore } from '../context.ts';
import { Icon } from '../Icon.tsx';
import { offerWhole } from '../whole-picture.ts';
import { LadderLine } from './LadderLine.tsx';
import { rowMatches } from './matches.ts';

interface Props {
  readonly ladder: Ladder;
  readonly records: readonly StepRecord[];
  readonly titles: readonly string[];
  readonly folds: Folds;
  readonly setFolds: (change: (f: Folds) => Folds) => void;
}

/** Lines above and below the window that are drawn as well. */
const margin = 6;

/** Headings of the lanes; they stay in view. */
function Heads({ geometry: g, step, whole }: { geometry: Geometry; step: string; whole: () => string }) {
  const svg = useRef<SVGSVGElement>(null);
  useEffect(() => (svg.current ? offerWhole(svg.current, whole) : undefined), [whole]);
  return (
    <div className="ladder-heads" style={{ width: `${g.width / 16}rem`, minWidth: '100%' }}>
      <svg
        ref={svg}
        role="img"
        data-export="Ladder"
        aria-label={`Lanes: ${g.lanes.map((l) => l.full).join(', ')}`}
        viewBox={`0 0 ${g.width} ${headHeight}`}
        style={{ width: `${g.width / 16}rem`, height: `${headHeight / 16}rem` }}
      >
        <text x={8} y={15} fontSize={headSize} fill="currentColor" className="text-ink-2">
          {step}
        </text>
        {g.lanes.map((l) => (
          <text
            key={l.x}
            x={l.x}
            y={15}
            textAnchor="middle"
            fontSize={headSize}
            fontWeight={600}
            className={bandStyle[bandOfActor(l.tone)].text}
            fill="currentColor"
          >
            <title>{l.full}</title>
            {l.title}
          </text>
        ))}
      </svg>
    </div>
  );
}

/** The lines that can be seen, and the keys to move among them. Nothing here grows with the document but three numbers a step. */
export function LadderList({ ladder, records, titles, folds, setFolds }: Props) {
  const app = useAppStore();
  const base = useId();
  const place = useApp((s) => s.place);
  const selection = useApp((s) => s.selection);
  const list = useRef<HTMLDivElement>(null);
  /** In units of the drawing: 16 of them are one rem. */
  const [size, setSize] = useState({ width: 0, height: 0 });
  /** The line at the upper edge of the window. */
  const [first, setFirst] = useState(0);
  const [cursor, setCursor] = useState<number | null>(null);
  const [following, setFollowing] = useState(true);
  /** When a person last moved wheel, finger or scroll bar: other scrolling is the program's or the browser's. */
  const touched = useRef(Number.NEGATIVE_INFINITY);
  const touch = (): void => {
    touched.current = performance.now();
  };

  const rows = useMemo(() => ladder.rows(records, folds, place.step), [ladder, records, folds, place.step]);
  const speakers = useMemo(() => ladder.present(records), [ladder, records]);
  const geometry = useMemo(
    () => layoutLanes(speakers, size.width, ladder.parties.known()),
    [ladder, speakers, size.width],
  );
  const head = rows.indexOf(place.step, place.event);
  const page = Math.max(1, Math.floor((size.height - headHeight) / lineHeight));
  const count = Math.ceil(Math.max(0, size.height - headHeight) / lineHeight) + 2 * margin + 1;

  useEffect(() => {
    const el = list.current;
    if (!el) return;
    const observer = new ResizeObserver(() => {
      const unit = remPixels() / 16;
      setSize({ width: el.clientWidth / unit, height: el.clientHeight / unit });
    });
    observer.observe(el);
    return () => observer.disconnect();
  }, []);

  const scrollTo = useCallback((top: number): void => {
    const el = list.current;
    if (!el) return;
    const unit = remPixels() / 16;
    const y = Math.round(Math.max(0, top) * unit);
    if (Math.abs(el.scrollTop - y) < 1) return;
    el.scrollTop = y;
    setFirst(Math.max(0, Math.floor(el.scrollTop / unit / lineHeight + 0.01)));
  }, []);
  /** Brings a line into view with a line of its surroundings; `most`: not lower than this part of the window. */
  const reveal = useCallback(
    (index: number, most = 1): void => {
      const view = size.height - headHeight;
      if (view <= 0) return;
      const y = index * lineHeight;
      const now = (list.current?.scrollTop ?? 0) / (remPixels() / 16);
      // Whole lines, so that none stands half behind the headings.
      const lowest = Math.max(0, Math.floor((view * most) / lineHeight) - 1) * lineHeight;
      const above = Math.min(lineHeight, lowest);
      if (y - above < now) scrollTo(y - above);
      else if (y - lowest > now) scrollTo(y - lowest);
    },
    [scrollTo, size.height],
  );

  // biome-ignore lint/correctness/useExhaustiveDependencies: the head may stand on the same line of another list
  useLayoutEffect(() => {
    if (following) reveal(head, 0.7);
  }, [following, head, rows, reveal]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only the playing head's own moves count
  useEffect(() => {
    setCursor(null);
    // It comes through the window: it is followed again.
    if (head >= first - 1 && head <= first + page) setFollowing(true);
  }, [place]);

  const onScroll = (e: UIEvent<HTMLDivElement>): void => {
    const el = e.currentTarget;
    const unit = remPixels() / 16;
    setFirst(Math.max(0, Math.floor(el.scrollTop / unit / lineHeight + 0.01)));
    if (performance.now() - touched.current > 500) return;
    touch();
    // Whoever scrolls away from the head wants to read; whoever comes back to it wants to follow again.
    const y = head * lineHeight - el.scrollTop / unit;
    setFollowing(y > -lineHeight / 2 && y < size.height - headHeight - lineHeight / 2);
  };

  const latest = useRef({ rows, records, place });
  latest.current = { rows, records, place };
  const toggle = useCallback(
    (index: number): void => {
      const row = latest.current.rows.at(index);
      if (row.open !== null) setFolds((f) => setFold(f, row, !row.open));
    },
    [setFolds],
  );
  const activate = useCallback(
    (index: number): void => {
      const { rows: r, records: all } = latest.current;
      const row = r.at(index);
      list.current?.focus({ preventScroll: true });
      if (row.kind === 'run' && row.open) {
        toggle(index);
        return;
      }
      const end = all[row.step]!.eventCount;
      const event = row.kind === 'step' ? 0 : row.kind === 'cost' || row.kind === 'hazard' ? end : row.to;
      app.moveTo({ step: row.step, event });
      const hazard = row.kind === 'hazard' ? all[row.step]!.hazards[row.index] : undefined;
      app.select(hazard ? { id: hazard.at, row: hazard.entry } : null);
      setCursor(null);
      setFollowing(true);
    },
    [app, toggle],
  );
  const seen = useRef({ first, page, folds, titles, width: size.width });
  seen.current = { first, page, folds, titles, width: size.width };
  /** The steps in the window as one drawing, from their first line to their last. */
  const whole = useCallback((): string => {
    const { rows: r, records: all } = latest.current;
    const v = seen.current;
    const from = r.at(Math.min(v.first, r.count - 1)).step;
    const to = r.at(Math.min(v.first + v.page, r.count) - 1).step;
    return ladderSvg({
      parties: ladder.parties,
      steps: all,
      titleOf: (n) => v.titles[n] ?? '',
      show: Array.from({ length: to - from + 1 }, (_, i) => from + i),
      width: v.width,
      folds: v.folds,
      current: latest.current.place.step,
    });
  }, [ladder]);
  const chooseObject = useCallback(
    (index: number): void => {
      const { rows: r, records: all } = latest.current;
      const row = r.at(index);
      const e = row.kind === 'step' || row.to < row.from ? undefined : all[row.step]!.events[row.from - 1];
      if (!e) return;
      const entry =
        e.kind === 'cache.fill' || e.kind === 'cache.hit' || e.kind === 'cache.remove' ? e.entry.id : undefined;
      app.select(entry === undefined ? { id: e.at } : { id: e.at, row: entry });
    },
    [app],
  );

  const at = Math.min(rows.count - 1, cursor ?? Math.max(0, head));
  const go = (to: number): void => {
    const index = Math.max(0, Math.min(rows.count - 1, to));
    setCursor(index);
    setFollowing(false);
    reveal(index);
  };
  const parent = (row: LadderRow): number => {
    let i = at - 1;
    while (i > 0 && rows.at(i).depth >= row.depth) i--;
    return i;
  };
  const onKeyDown = (e: KeyboardEvent): void => {
    if (e.ctrlKey || e.metaKey || e.altKey || rows.count === 0) return;
    if (e.shiftKey && e.key !== 'Enter') return;
    const row = rows.at(at);
    switch (e.key) {
      case 'ArrowDown':
        go(at + 1);
        break;
      case 'ArrowUp':
        go(at - 1);
        break;
      case 'PageDown':
        go(at + page - 1);
        break;
      case 'PageUp':
        go(at - page + 1);
        break;
      case 'Home':
        go(0);
        break;
      case 'End':
        go(rows.count - 1);
        break;
      case 'ArrowRight':
        if (row.open === false) toggle(at);
        else if (row.open) go(at + 1);
        break;
      case 'ArrowLeft':
        if (row.open) toggle(at);
        else if (row.depth > 0) go(parent(row));
        break;
      case 'Enter':
        if (e.shiftKey) chooseObject(at);
        else activate(at);
        break;
      default:
        return;
    }
    e.preventDefault();
    e.stopPropagation();
  };

  const stateOf = (row: LadderRow, index: number): 'past' | 'now' | 'future' => {
    if (index === head) return 'now';
    if (row.kind !== 'cost' && row.kind !== 'hazard') return index < head ? 'past' : 'future';
    const over = row.step < place.step || (row.step === place.step && place.event >= records[row.step]!.eventCount);
    return over ? 'past' : 'future';
  };
  const start = Math.max(0, Math.min(first, rows.count - 1) - margin);
  const upper = rows.count > 0 ? rows.at(Math.min(first, rows.count - 1)).step : 0;
  const shown = rows.slice(start, start + count);
  const away = !following && (head < first || head >= first + page);
  const now = shown[head - start];
  const done = now && now.to > now.from && place.event > 0 ? (place.event - now.from + 1) / (now.to - now.from + 1) : 1;
  return (
    <div className="relative flex min-h-0 flex-1 flex-col">
      <div
        ref={list}
        role="tree"
        aria-label="Ladder"
        tabIndex={0}
        aria-activedescendant={at >= start && at < start + shown.length ? `${base}${at}` : undefined}
        className="ladder-list"
        onScroll={onScroll}
        onWheel={touch}
        onTouchMove={touch}
        onPointerDown={touch}
        onKeyDown={onKeyDown}
      >
        <Heads geometry={geometry} step={upper === 0 ? 'Setup' : `Step ${upper}`} whole={whole} />
        <div
          className="relative"
          style={{ height: `${(rows.count * lineHeight) / 16}rem`, width: `${geometry.width / 16}rem` }}
        >
          {geometry.lanes.map((l) => (
            <span key={l.x} aria-hidden="true" className="ladder-lane" style={{ left: `${(l.x - 0.5) / 16}rem` }} />
          ))}
          {size.width > 0 &&
            shown.map((row, i) => {
              const index = start + i;
              return (
                <LadderLine
                  key={`${row.step}.${row.kind}.${row.from}.${row.group}.${row.index}`}
                  id={`${base}${index}`}
                  row={row}
                  record={records[row.step]!}
                  ladder={ladder}
                  geometry={geometry}
                  title={row.kind === 'step' ? titles[row.step]! : ''}
                  index={index}
                  state={stateOf(row, index)}
                  done={index === head ? done : 1}
                  cursor={index === at}
                  marked={rowMatches(row, records[row.step]!, selection)}
                  onActivate={activate}
                  onToggle={toggle}
                  onObject={chooseObject}
                />
              );
            })}
        </div>
      </div>
      {away && (
        <button
          type="button"
          className="btn absolute right-4 bottom-2 z-10 shadow"
          title="Go back to the playing head and follow it"
          onClick={() => {
            setCursor(null);
            setFollowing(true);
          }}
        >
          <Icon name="chevronDown" className="size-3.5" />
          Follow
        </button>
      )}
    </div>
  );
}
