import { type KeyboardEvent, useCallback, useDeferredValue, useEffect, useId, useMemo, useRef, useState } from 'react';
import { createPortal } from 'react-dom';
import { bandOfActor, bandStyle } from '../actors.ts';
import { remPixels } from '../bits.ts';
import { useApp, useAppStore } from '../context.ts';
import { Icon } from '../Icon.tsx';
import { filterRows, mostRows, rowAt, rowsAsText, rowsOf, type TraceRow } from './trace-rows.ts';

/** Height of a line in rem. */
const line = 1.375;
const margin = 8;

function Row({ row, id, state, top }: { row: TraceRow; id: string; state: 'past' | 'now' | 'future'; top: number }) {
  const app = useAppStore();
  const look =
    state === 'now'
      ? 'bg-accent-soft text-ink'
      : state === 'past'
        ? 'text-ink hover:bg-sunken'
        : 'text-ink-3 hover:bg-sunken';
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents lint/a11y/useFocusableInteractive: the list has the focus and the keys
    <div
      role="option"
      id={id}
      aria-selected={state === 'now'}
      style={{ top: `${top}rem`, height: `${line}rem` }}
      className={`absolute inset-x-0 flex cursor-pointer items-center gap-2 px-3 ${look}`}
      onClick={() => {
        if (String(window.getSelection() ?? '') !== '') return;
        app.moveTo({ step: row.step, event: row.event });
        app.select(null);
      }}
    >
      <span className="w-12 shrink-0 text-right text-2xs text-ink-3 tabular-nums">
        {row.step}.{row.event}
      </span>
      <span className={`w-20 shrink-0 truncate text-2xs font-semibold ${bandStyle[bandOfActor(row.actor)].text}`}>
        {row.who}
      </span>
      <span className="truncate font-mono text-xs" title={row.text}>
        {row.text}
      </span>
    </div>
  );
}

/**
 * The events as text: filtered, copied, and a way to go to any of them.
 * @param bar  where its controls stand, beside the tabs
 */
export function TraceView({ bar }: { bar: HTMLElement | null }) {
  const app = useAppStore();
  const base = useId();
  const records = useApp((s) => s.records);
  const place = useApp((s) => s.place);
  const [scope, setScope] = useState<'step' | 'all'>('step');
  const [filter, setFilter] = useState('');
  const [copied, setCopied] = useState(false);
  const wanted = useDeferredValue(filter);
  const shown = scope === 'all' ? 'all' : place.step;
  const all = useMemo(() => rowsOf(records, shown), [records, shown]);
  const rows = useMemo(() => filterRows(all, wanted), [all, wanted]);
  const at = rowAt(rows, place.step, place.event);

  const list = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 0 });
  const measure = useCallback((): void => {
    const el = list.current;
    if (!el) return;
    const rem = remPixels();
    setView({ top: el.scrollTop / rem, height: el.clientHeight / rem });
  }, []);
  useEffect(() => {
    const el = list.current;
    if (!el) return;
    const observer = new ResizeObserver(measure);
    observer.observe(el);
    return () => observer.disconnect();
  }, [measure]);
  // From what was measured last: asking the page anew for every event would draw it twice.
  const seen = useRef(view);
  seen.current = view;
  const ready = view.height > 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: other lines stand there when the list is another
  useEffect(() => {
    const el = list.current;
    const { top, height } = seen.current;
    if (!el || !ready) return;
    const y = Math.max(0, at) * line;
    const to = y < top ? y - line : y + line > top + height ? y - height + 2 * line : null;
    if (to !== null) el.scrollTop = Math.max(0, to) * remPixels();
  }, [at, rows, ready]);

  const first = Math.max(0, Math.floor(view.top / line) - margin);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / line) + margin);
  const go = (to: number): void => {
    const r = rows[Math.max(0, Math.min(rows.length - 1, to))];
    if (r) app.moveTo({ step: r.step, event: r.event });
  };
  const onKeyDown = (e: KeyboardEvent): void => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === 'ArrowDown') go(at + 1);
    else if (e.key === 'ArrowUp') go(at - 1);
    else return;
    e.preventDefault();
    e.stopPropagation();
  };
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(rowsAsText(rows));
      setCopied(true);
      setTimeout(() => setCopied(false), 1600);
    } catch {
      app.notify('error', 'The browser did not allow copying', ['Select the lines and copy them by hand.']);
    }
  };

  const past = (r: TraceRow): boolean => r.step < place.step || (r.step === place.step && r.event <= place.event);
  return (
    <>
      {bar &&
        createPortal(
          <div className="flex min-w-0 items-center gap-1.5">
            <input
              type="search"
              aria-label="Filter the events"
              placeholder="Filter, e.g. IOTLB"
              className="field h-7 w-44 min-w-16 shrink text-xs"
              value={filter}
              onChange={(e) => setFilter(e.target.value)}
            />
            <select
              aria-label="Which events"
              className="btn appearance-none"
              value={scope}
              onChange={(e) => setScope(e.target.value === 'all' ? 'all' : 'step')}
            >
              <option value="step">This step</option>
              <option value="all">All steps</option>
            </select>
            <button type="button" className="btn" disabled={rows.length === 0} onClick={() => void copy()}>
              <Icon name={copied ? 'check' : 'copy'} className="size-3.5" />
              {copied ? 'Copied' : 'Copy'}
            </button>
            <span className="ml-1 text-2xs whitespace-nowrap text-ink-3 tabular-nums">
              {rows.length === all.length
                ? all.length === 1
                  ? '1 event'
                  : `${all.length} events`
                : `${rows.length} of ${all.length} events`}
              {all.length >= mostRows && ' (only the first are listed)'}
            </span>
          </div>,
          bar,
        )}
      <div
        ref={list}
        role="listbox"
        aria-label="Events"
        tabIndex={0}
        aria-activedescendant={at >= first && at < last && at >= 0 ? `${base}${at}` : undefined}
        className="scroll-thin relative min-h-0 flex-1 overflow-y-auto -outline-offset-2"
        onScroll={measure}
        onKeyDown={onKeyDown}
      >
        <div className="relative" style={{ height: `${rows.length * line}rem` }}>
          {rows.slice(first, last).map((r, i) => (
            <Row
              key={`${r.step}.${r.event}`}
              id={`${base}${first + i}`}
              row={r}
              top={(first + i) * line}
              state={first + i === at && past(r) ? 'now' : past(r) ? 'past' : 'future'}
            />
          ))}
        </div>
        {rows.length === 0 && (
          // A list without an option would be announced as broken: what it says instead is one that cannot be chosen.
          // biome-ignore lint/a11y/useFocusableInteractive: the list has the focus
          <div
            role="option"
            aria-disabled="true"
            aria-selected="false"
            className="absolute inset-x-0 top-2 px-3 text-xs text-ink-3"
          >
            {all.length === 0 ? 'Nothing happens in this step.' : 'No event has these words.'}
          </div>
        )}
      </div>
    </>
  );
}
