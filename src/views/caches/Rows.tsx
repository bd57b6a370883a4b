// biome-ignore-all lint/a11y/useFocusableInteractive: the grid around these has the focus and the keys, and says which row is active
// biome-ignore-all lint/a11y/useSemanticElements: rows stand where the layout says, which those of a table cannot
import { memo } from 'react';
import { type Counts, countsText, type Sort, type SortKey } from './arrange.ts';
import { LifeMarks } from './LifeMarks.tsx';
import { type Frame, type GroupBlock, groupHeight, headHeight, rowHeight, type SectionBlock } from './layout.ts';
import { type Entry, numberOf, type Place, stateText } from './model.ts';
import { filledText, removedText } from './say.ts';
import { type TimeScale, ticksOf, xOf } from './timeline.ts';

/** Lengths of the layout are in units of which 16 are one rem. */
export const rem = (n: number): string => `${n / 16}rem`;

const box = (p: { readonly x: number; readonly w: number }) => ({ left: rem(p.x), width: rem(p.w) });

export interface Doing {
  readonly select: (entry: Entry) => void;
  readonly go: (place: Place, entry?: Entry) => void;
  readonly sort: (key: SortKey) => void;
  readonly fold: (key: string) => void;
}

const placeText = (p: Place): string => `${p.step}.${p.event}`;

const looks = {
  cached: 'text-ink-2',
  filled: 'text-filled-ink bg-filled-soft border-filled',
  hit: 'text-hit-ink bg-hit-soft border-hit',
  stale: 'text-stale-ink bg-stale-soft border-stale border-dashed',
  removed: 'text-removed-ink bg-removed-soft border-removed',
  wasted: 'text-wasted-ink bg-wasted-soft border-wasted',
  gone: 'text-ink-2 border-line',
} as const;

function lookOf(e: Entry): keyof typeof looks {
  if (e.state === 'stale') return 'stale';
  if (e.state === 'removed') return e.touch === 'removed' || e.touch === 'wasted' ? e.touch : 'gone';
  return e.touch === 'filled' || e.touch === 'hit' ? e.touch : 'cached';
}

function StateChip({ entry }: { entry: Entry }) {
  const { sign, word } = stateText(entry);
  const look = lookOf(entry);
  if (look === 'cached') return <span className="text-ink-2">{word}</span>;
  return (
    <span className={`truncate rounded-sm border px-1 font-semibold ${looks[look]}`} title={word}>
      {sign} {entry.state === 'removed' && entry.life.removed?.valid ? 'still valid' : word}
    </span>
  );
}

interface EventLinkProps {
  readonly place: Place | null;
  readonly text: string;
  /** The whole of it, for the title and for who does not see it. */
  readonly full: string;
  readonly brief: boolean;
  readonly stop: boolean;
  readonly onGo: (place: Place) => void;
}

/** An event as a way to go there. */
function EventLink({ place, text, full, brief, stop, onGo }: EventLinkProps) {
  if (!place) return <span className="truncate text-ink-3">{text}</span>;
  return (
    <button
      type="button"
      tabIndex={stop ? 0 : -1}
      className="block max-w-full truncate rounded-sm text-left hover:underline"
      title={full}
      aria-label={`Go to ${placeText(place)}: ${full}`}
      onClick={(e) => {
        e.stopPropagation();
        onGo(place);
      }}
    >
      <span className="text-accent-ink tabular-nums underline decoration-dotted underline-offset-2">
        {placeText(place)}
      </span>
      {!brief && text !== '' && <span className="text-ink-2"> {text}</span>}
    </button>
  );
}

interface RowProps {
  readonly entry: Entry;
  readonly id: string;
  readonly index: number;
  readonly top: number;
  readonly frame: Frame;
  readonly widths: readonly number[];
  readonly scale: TimeScale;
  readonly head: Place;
  readonly selected: boolean;
  readonly active: boolean;
  /** The last event was about it. */
  readonly now: boolean;
  readonly doing: Doing;
}

export const EntryRow = memo(function EntryRow(p: RowProps) {
  const { entry, frame, widths, doing, active } = p;
  const { life } = entry;
  const removed = entry.state === 'removed';
  const look = p.selected ? 'bg-accent-soft' : p.now ? 'bg-sunken' : 'hover:bg-sunken';
  let x = frame.cells.x;
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the grid has the focus and the keys
    <div
      role="row"
      id={p.id}
      aria-rowindex={p.index + 1}
      aria-selected={p.selected}
      data-row={`${life.at}#${life.entry}`}
      className={`absolute left-0 cursor-pointer text-xs ${look} ${active ? '-outline-offset-2 outline-focus in-focus:outline-2' : ''}`}
      style={{ top: rem(p.top), height: rem(rowHeight), width: rem(frame.width) }}
      onClick={() => doing.select(entry)}
    >
      {(p.now || p.selected) && (
        <span
          aria-hidden="true"
          className={`absolute inset-y-0 left-0 w-[3px] ${p.selected ? 'bg-accent' : 'bg-line-strong'}`}
        />
      )}
      <div
        role="gridcell"
        className="absolute inset-y-0 flex items-center gap-1.5 pr-2 text-2xs"
        style={box(frame.state)}
      >
        <span className="min-w-6 text-ink-3 tabular-nums">#{numberOf(life)}</span>
        <StateChip entry={entry} />
      </div>
      {widths.map((w, i) => {
        const left = x;
        x += w;
        const cell = life.cells[i] ?? '';
        return (
          <div
            // biome-ignore lint/suspicious/noArrayIndexKey: a cell is its column
            key={i}
            role="gridcell"
            className={`absolute inset-y-0 truncate font-mono leading-6 ${removed ? 'text-ink-3 line-through' : ''}`}
            style={{ left: rem(left), width: rem(w - 8) }}
            title={cell.length > 16 ? cell : undefined}
          >
            {cell}
          </div>
        );
      })}
      <div
        role="gridcell"
        className="absolute inset-y-0 pr-2.5 text-right leading-6 tabular-nums"
        style={box(frame.hits)}
      >
        {entry.hits === 0 ? <span className="text-ink-3">0</span> : entry.hits}
      </div>
      <div role="gridcell" className="absolute inset-y-0 flex items-center pr-2 text-2xs" style={box(frame.filled)}>
        <EventLink
          place={life.filled}
          text={life.filled ? life.by : 'before the trace'}
          full={filledText(life)}
          brief={frame.brief}
          stop={active}
          onGo={(place) => doing.go(place, entry)}
        />
      </div>
      {frame.removed && (
        <div role="gridcell" className="absolute inset-y-0 flex items-center pr-2 text-2xs" style={box(frame.removed)}>
          {removed && life.removed && (
            <EventLink
              place={life.removed.place}
              text={life.removed.by}
              full={removedText(life)}
              brief={frame.brief}
              stop={active}
              onGo={(place) => doing.go(place, entry)}
            />
          )}
        </div>
      )}
      <div role="gridcell" className="absolute inset-y-0" style={box(frame.line)}>
        <LifeMarks life={life} scale={p.scale} head={p.head} onGo={(place) => doing.go(place, entry)} />
      </div>
    </div>
  );
});

interface SortButtonProps {
  readonly name: string;
  readonly by: SortKey;
  readonly sort: Sort | null;
  readonly stop: boolean;
  readonly right?: boolean;
  readonly onSort: (key: SortKey) => void;
}

const sameKey = (a: SortKey, b: SortKey): boolean =>
  a.by === b.by && (a.by !== 'column' || b.by !== 'column' || a.column === b.column);

const sortedBy = (sort: Sort | null, key: SortKey): 'ascending' | 'descending' | 'none' =>
  sort && sameKey(sort.key, key) ? (sort.down ? 'descending' : 'ascending') : 'none';

function SortButton({ name, by, sort, stop, right, onSort }: SortButtonProps) {
  const now = sortedBy(sort, by);
  return (
    <button
      type="button"
      tabIndex={stop ? 0 : -1}
      className={`flex max-w-full items-center gap-0.5 truncate rounded-sm hover:text-ink ${now === 'none' ? '' : 'text-ink'} ${right ? 'ml-auto' : ''}`}
      title={`Sort by ${name}`}
      onClick={() => onSort(by)}
    >
      <span className="truncate">{name}</span>
      {now !== 'none' && <span aria-hidden="true">{now === 'ascending' ? '↑' : '↓'}</span>}
    </button>
  );
}

interface HeadProps {
  readonly block: SectionBlock;
  readonly id: string;
  readonly frame: Frame;
  readonly widths: readonly number[];
  readonly scale: TimeScale;
  readonly head: Place;
  readonly sort: Sort | null;
  readonly active: boolean;
  readonly doing: Doing;
}

const shortCounts = (c: Counts): string => (c.cached === 0 ? '' : String(c.cached));

/** Name of a cache, how much is in it, and its columns. It stays in view while its rows do. */
export function SectionHead({ block, id, frame, widths, scale, head, sort, active, doing }: HeadProps) {
  const { section, folded } = block;
  const { cache, counts } = section;
  let x = frame.cells.x;
  const columnHead = (key: SortKey, name: string, place: { readonly x: number; readonly w: number }, right = false) => (
    <div
      key={name}
      role="columnheader"
      aria-sort={sortedBy(sort, key)}
      className="absolute inset-y-0 flex items-center"
      style={{ left: rem(place.x), width: rem(place.w - 8) }}
    >
      <SortButton name={name} by={key} sort={sort} stop={active} right={right} onSort={doing.sort} />
    </div>
  );
  return (
    <div
      role="row"
      id={id}
      aria-rowindex={block.first + 1}
      aria-expanded={!folded}
      className={`sticky top-0 z-10 border-b border-line bg-panel text-2xs text-ink-2 ${active ? '-outline-offset-2 outline-focus in-focus:outline-2' : ''}`}
      style={{ height: rem(headHeight), width: rem(frame.width) }}
    >
      <div role="columnheader" className="absolute inset-y-0 flex items-center" style={box(frame.state)}>
        <button
          type="button"
          tabIndex={active ? 0 : -1}
          className="flex max-w-full min-w-0 items-center gap-1 rounded-sm"
          aria-label={`${cache.title}: ${countsText(counts)}`}
          title={`${cache.title}: ${countsText(counts)}`}
          onClick={() => doing.fold(section.key)}
        >
          <span aria-hidden="true" className="w-2 text-ink-3">
            {folded ? '▸' : '▾'}
          </span>
          <span className="truncate font-semibold text-ink">{cache.title}</span>
          <span className="text-ink-2 tabular-nums">{shortCounts(counts)}</span>
          {counts.stale > 0 && <span className="font-semibold whitespace-nowrap text-stale-ink">! {counts.stale}</span>}
        </button>
      </div>
      {!folded &&
        widths.map((w, i) => {
          const name = cache.columns[i]!;
          const left = x;
          x += w;
          return columnHead({ by: 'column', column: name }, name, { x: left, w });
        })}
      {folded ? (
        <div role="gridcell" className="absolute inset-y-0 flex items-center" style={box(frame.cells)}>
          {countsText(counts)}
        </div>
      ) : (
        <>
          {columnHead({ by: 'hits' }, 'hits', frame.hits, true)}
          {columnHead({ by: 'filled' }, 'filled', frame.filled)}
          {frame.removed && columnHead({ by: 'removed' }, frame.brief ? 'gone' : 'removed', frame.removed)}
          <div
            role="columnheader"
            aria-label="Life over the steps"
            className="absolute inset-y-0"
            style={box(frame.line)}
          >
            <Axis scale={scale} head={head} onGo={doing.go} />
          </div>
        </>
      )}
    </div>
  );
}

/** Numbers of the steps above the life lines. */
function Axis({ scale, head, onGo }: { scale: TimeScale; head: Place; onGo: (place: Place) => void }) {
  const x = xOf(scale, head);
  return (
    <svg
      aria-hidden="true"
      viewBox={`0 0 ${scale.width} ${headHeight}`}
      style={{ width: rem(scale.width), height: rem(headHeight) }}
      className="block overflow-visible"
    >
      {ticksOf(scale).map((t) => (
        // biome-ignore lint/a11y/noStaticElementInteractions: the player goes to any step by keys
        <text
          key={t.step}
          x={t.x}
          y={16}
          textAnchor="middle"
          fontSize={11}
          fontWeight={t.step === head.step ? 700 : 400}
          fill={t.step === head.step ? 'var(--ink)' : 'var(--ink-3)'}
          className="cursor-pointer"
          onClick={() => onGo({ step: t.step, event: scale.lengths[t.step]! })}
        >
          <title>{t.step === 0 ? 'Setup' : `Step ${t.step}`}</title>
          {t.step}
        </text>
      ))}
      <path d={`M${x - 4} ${headHeight - 6}h8l-4 6z`} fill="var(--ink)" />
    </svg>
  );
}

interface GroupProps {
  readonly block: GroupBlock;
  readonly id: string;
  readonly index: number;
  readonly width: number;
  readonly active: boolean;
  readonly doing: Doing;
}

export function GroupHead({ block, id, index, width, active, doing }: GroupProps) {
  const { group, folded } = block;
  const entries = group.sections.reduce((n, s) => n + s.entries.length, 0);
  return (
    <div
      role="row"
      id={id}
      aria-rowindex={index + 1}
      aria-expanded={!folded}
      className={`absolute left-0 border-b border-line bg-sunken text-xs ${active ? '-outline-offset-2 outline-focus in-focus:outline-2' : ''}`}
      style={{ top: rem(block.top), height: rem(groupHeight), width: rem(width) }}
    >
      <div role="gridcell" className="flex h-full items-center px-2">
        <button
          type="button"
          tabIndex={active ? 0 : -1}
          className="flex items-center gap-1 rounded-sm"
          onClick={() => doing.fold(block.key)}
        >
          <span aria-hidden="true" className="w-2.5 text-ink-3">
            {folded ? '▸' : '▾'}
          </span>
          <span className="font-semibold">{group.title}</span>
          <span className="text-ink-2">
            {entries === 1 ? '1 entry' : `${entries} entries`} in {group.sections.map((s) => s.cache.title).join(', ')}
          </span>
        </button>
      </div>
    </div>
  );
}
