import { type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from 'react';
import type { Place } from '../../store/index.ts';
import {
  blocksIn,
  type Doing,
  type Entry,
  EntryRow,
  GroupHead,
  headHeight,
  layoutFrame,
  lineAt,
  lineOfEntry,
  rem,
  rowsIn,
  SectionHead,
  stack,
  xOf,
} from '../../views/caches/index.ts';
import { remPixels } from '../bits.ts';
import { useApp, useAppStore } from '../context.ts';
import type { Look, useCaches } from './use-caches.ts';

interface Props extends ReturnType<typeof useCaches> {
  readonly look: Look;
  readonly setLook: (change: Partial<Look>) => void;
}

/** The lines that can be seen, and the keys to move among them. */
export function CachesList({ groups, caches, widths, lives, look, setLook }: Props) {
  const app = useAppStore();
  const base = useId();
  const place = useApp((s) => s.place);
  const lengths = useApp((s) => s.lengths);
  const selection = useApp((s) => s.selection);
  const records = useApp((s) => s.records);
  const list = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, width: 0, height: 0 });
  const [cursor, setCursor] = useState(0);

  const { folded } = look;
  const stacked = useMemo(() => stack(groups, folded), [groups, folded]);
  // The cells of all caches that ever had an entry have room, so that the life lines stand at one place.
  const cells = useMemo(() => {
    const used = new Set(lives.map((l) => l.at));
    return Math.max(
      0,
      ...caches.filter((c) => used.has(c.id)).map((c) => widths.get(c.id)!.reduce((a, b) => a + b, 0)),
    );
  }, [lives, caches, widths]);
  const withRemoved = groups.some((g) => g.sections.some((s) => s.entries.some((e) => e.state === 'removed')));
  const wide = withRemoved || look.filter.show !== 'stale';
  const frame = useMemo(() => layoutFrame(view.width, cells, wide), [view.width, cells, wide]);
  const scale = useMemo(() => ({ width: frame.line.w, lengths }), [frame.line.w, lengths]);

  useEffect(() => {
    const el = list.current;
    if (!el) return;
    const measure = (): void => {
      const unit = remPixels() / 16;
      setView({ top: el.scrollTop / unit, width: el.clientWidth / unit, height: el.clientHeight / unit });
    };
    const observer = new ResizeObserver(measure);
    observer.observe(el);
    el.addEventListener('scroll', measure, { passive: true });
    return () => {
      observer.disconnect();
      el.removeEventListener('scroll', measure);
    };
  }, []);

  const event = records[place.step]?.events[place.event - 1];
  const now =
    event && (event.kind === 'cache.fill' || event.kind === 'cache.hit' || event.kind === 'cache.remove')
      ? `${event.at}#${event.entry.id}`
      : null;
  const playing = useApp((s) => s.playing);

  const latest = useRef({ stacked, view });
  latest.current = { stacked, view };
  const reveal = (line: number): void => {
    const l = lineAt(latest.current.stacked, line);
    const el = list.current;
    if (!l || !el) return;
    const { top, height } = latest.current.view;
    // The head of its section lies over what is at the upper edge.
    const above = l.row === null ? 0 : headHeight;
    const to = l.top - above < top ? l.top - above : l.top + l.height > top + height ? l.top + l.height - height : null;
    if (to !== null) el.scrollTop = Math.max(0, to) * (remPixels() / 16);
  };
  const selected = selection?.row === undefined ? null : `${selection.id}#${selection.row}`;
  const ready = view.height > 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: only another selection moves the list
  useEffect(() => {
    if (!ready || selection?.row === undefined) return;
    const line = lineOfEntry(latest.current.stacked, selection.id, selection.row);
    if (line < 0) return;
    setCursor(line);
    reveal(line);
  }, [selected, ready]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: while it plays the list follows the events
  useEffect(() => {
    if (!playing || now === null) return;
    const cut = now.lastIndexOf('#');
    const line = lineOfEntry(latest.current.stacked, now.slice(0, cut), Number(now.slice(cut + 1)));
    if (line >= 0) reveal(line);
  }, [now, playing]);

  const doing = useMemo<Doing>(
    () => ({
      select: (e: Entry) => {
        list.current?.focus({ preventScroll: true });
        app.select({ id: e.life.at, row: e.life.entry });
        const line = lineOfEntry(latest.current.stacked, e.life.at, e.life.entry);
        if (line >= 0) setCursor(line);
      },
      go: (to: Place, e?: Entry) => {
        if (e) app.select({ id: e.life.at, row: e.life.entry });
        app.moveTo(to);
      },
      sort: (key) => {
        const { sort } = look;
        const same = sort && JSON.stringify(sort.key) === JSON.stringify(key);
        setLook({ sort: !same ? { key, down: false } : sort.down ? null : { key, down: true } });
      },
      fold: (key) => {
        const next = new Set(folded);
        if (!next.delete(key)) next.add(key);
        setLook({ folded: next });
      },
    }),
    [app, look, folded, setLook],
  );

  const active = Math.min(cursor, stacked.lines - 1);
  const line = lineAt(stacked, active);
  const goTo = (to: number): void => {
    const n = Math.max(0, Math.min(stacked.lines - 1, to));
    setCursor(n);
    reveal(n);
    const l = lineAt(stacked, n);
    if (l?.block.kind === 'section' && l.row !== null) {
      const { life } = l.block.section.entries[l.row]!;
      app.select({ id: life.at, row: life.entry });
    }
  };
  const page = Math.max(1, Math.floor(view.height / 24) - 2);
  const onKeyDown = (e: KeyboardEvent): void => {
    if (e.target !== e.currentTarget || e.ctrlKey || e.metaKey || e.altKey || !line) return;
    const { block, row } = line;
    const entry = block.kind === 'section' && row !== null ? block.section.entries[row]! : null;
    switch (e.key) {
      case 'ArrowDown':
        goTo(active + 1);
        break;
      case 'ArrowUp':
        goTo(active - 1);
        break;
      case 'PageDown':
        goTo(active + page);
        break;
      case 'PageUp':
        goTo(active - page);
        break;
      case 'Home':
        goTo(0);
        break;
      case 'End':
        goTo(stacked.lines - 1);
        break;
      case 'ArrowRight':
      case 'ArrowLeft':
        if (entry && e.key === 'ArrowLeft' && block.kind === 'section') goTo(block.first);
        else if (!entry && block.folded === (e.key === 'ArrowRight')) doing.fold(block.key);
        break;
      case 'Enter':
        if (!entry) doing.fold(block.key);
        else {
          const to = e.shiftKey ? entry.life.removed?.place : entry.life.filled;
          if (to) doing.go(to, entry);
        }
        break;
      default:
        return;
    }
    e.preventDefault();
    e.stopPropagation();
  };

  const blocks = blocksIn(stacked, view.top, view.height);
  const empty = caches.filter((c) => !groups.some((g) => g.sections.some((s) => s.cache === c)));
  const headX = frame.line.x + xOf(scale, place);
  let index = 0;
  const firstLine = new Map<string, number>();
  for (const b of stacked.blocks) {
    firstLine.set(b.key, index);
    index += b.kind === 'group' ? 1 : 1 + (b.folded ? 0 : b.section.entries.length);
  }
  return (
    <div
      ref={list}
      role="treegrid"
      aria-label="Cache entries"
      aria-rowcount={stacked.lines}
      aria-keyshortcuts="Enter Shift+Enter"
      tabIndex={0}
      aria-activedescendant={line ? `${base}${active}` : undefined}
      className="scroll-thin relative min-h-0 flex-1 overflow-auto -outline-offset-2"
      onKeyDown={onKeyDown}
    >
      <div
        role="presentation"
        className="relative"
        style={{ height: rem(stacked.height), width: rem(frame.width), minWidth: '100%' }}
      >
        {ready &&
          blocks.map((b) => {
            const first = firstLine.get(b.key)!;
            if (b.kind === 'group')
              return (
                <GroupHead
                  key={b.key}
                  block={b}
                  id={`${base}${first}`}
                  index={first}
                  width={frame.width}
                  active={active === first}
                  doing={doing}
                />
              );
            const columns = widths.get(b.section.cache.id)!;
            const { from, to } = rowsIn(b, view.top, view.height);
            return (
              // biome-ignore lint/a11y/useSemanticElements: sections stand where the layout says
              <div
                key={b.key}
                role="rowgroup"
                aria-label={b.section.cache.title}
                className="absolute left-0"
                style={{ top: rem(b.top), height: rem(b.height), width: rem(frame.width) }}
              >
                <SectionHead
                  block={b}
                  id={`${base}${first}`}
                  frame={frame}
                  widths={columns}
                  scale={scale}
                  head={place}
                  sort={look.sort}
                  active={active === first}
                  doing={doing}
                />
                {b.section.entries.slice(from, to).map((e, i) => {
                  const n = from + i;
                  const key = `${e.life.at}#${e.life.entry}`;
                  return (
                    <EntryRow
                      key={`${key} ${e.life.filled?.step}.${e.life.filled?.event}`}
                      entry={e}
                      id={`${base}${first + 1 + n}`}
                      index={first + 1 + n}
                      top={headHeight + n * 24}
                      frame={frame}
                      widths={columns}
                      scale={scale}
                      head={place}
                      selected={key === selected}
                      active={active === first + 1 + n}
                      now={key === now}
                      doing={doing}
                    />
                  );
                })}
              </div>
            );
          })}
        <div
          aria-hidden="true"
          className="pointer-events-none absolute top-0 z-[5] w-px bg-ink opacity-60"
          style={{ left: rem(headX), height: rem(stacked.height) }}
        />
      </div>
      {empty.length > 0 && look.filter.cache === null && (
        <p role="presentation" className="sticky left-0 px-3 py-1.5 text-2xs text-ink-3">
          Nothing to show of {empty.map((c) => c.title).join(', ')}
        </p>
      )}
    </div>
  );
}
