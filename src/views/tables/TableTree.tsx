import {
  type KeyboardEvent,
  memo,
  useCallback,
  useEffect,
  useId,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import { hex } from '../../engine/bits/index.ts';
import type { Row } from './rows.ts';
import { changeText, rangeText, rowText, runText, wordChanges } from './say.ts';
import './tables.css';

export interface TableTreeProps {
  readonly rows: readonly Row[];
  /** Key of the row that the keys are at. */
  readonly cursor: string | null;
  /** Key of the row whose record is selected, here or elsewhere. */
  readonly selected: string | null;
  readonly onCursor: (row: Row) => void;
  readonly onToggle: (row: Row, open: boolean) => void;
  /** Height of a line in pixels. */
  readonly line: number;
  /** Changes whenever the cursor is to be scrolled into view. */
  readonly reveal: number;
}

const MARGIN = 6;

/** Tables as a tree: only the lines in view are drawn. Arrow keys, Home, End, Page up and down, Enter. */
export const TableTree = memo(function TableTree(p: TableTreeProps) {
  const { rows, cursor, selected, onCursor, onToggle, line } = p;
  const base = useId();
  const list = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 0 });
  const at = useMemo(() => rows.findIndex((r) => r.key === cursor), [rows, cursor]);

  const measure = useCallback((): void => {
    const el = list.current;
    if (el) setView({ top: el.scrollTop, height: el.clientHeight });
  }, []);
  useLayoutEffect(() => {
    const el = list.current;
    if (!el) return;
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(el);
    return () => observer.disconnect();
  }, [measure]);

  // Once for each time that it is asked for, and as soon as the line is there: opening a table above doesn't scroll.
  const shown = useRef(0);
  useEffect(() => {
    const el = list.current;
    if (!el || at < 0 || shown.current === p.reveal) return;
    shown.current = p.reveal;
    const y = at * line;
    if (y < el.scrollTop) el.scrollTop = Math.max(0, y - line);
    else if (y + line > el.scrollTop + el.clientHeight) el.scrollTop = y + 2 * line - el.clientHeight;
  }, [p.reveal, at, line]);

  const first = Math.max(0, Math.floor(view.top / line) - MARGIN);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / line) + MARGIN);
  const go = (to: number): void => {
    const row = rows[Math.max(0, Math.min(rows.length - 1, to))];
    if (row) onCursor(row);
  };
  const onKeyDown = (e: KeyboardEvent): void => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const row = rows[at];
    const page = Math.max(1, Math.floor(view.height / line) - 1);
    switch (e.key) {
      case 'ArrowDown':
        go(at + 1);
        break;
      case 'ArrowUp':
        go(at - 1);
        break;
      case 'PageDown':
        go(at + page);
        break;
      case 'PageUp':
        go(at - page);
        break;
      case 'Home':
        go(0);
        break;
      case 'End':
        go(rows.length - 1);
        break;
      case 'ArrowRight':
        if (row?.expandable && !row.open) onToggle(row, true);
        else if (row?.open && rows[at + 1]?.parent === row.key) go(at + 1);
        break;
      case 'ArrowLeft':
        if (row?.open) onToggle(row, false);
        else if (row && row.parent !== '') go(rows.findIndex((r) => r.key === row.parent));
        break;
      case 'Enter':
        if (row?.expandable) onToggle(row, !row.open);
        break;
      default:
        return;
    }
    e.preventDefault();
    e.stopPropagation();
  };

  return (
    <div
      ref={list}
      role="tree"
      aria-label="Tables in memory"
      tabIndex={0}
      aria-activedescendant={at >= first && at < last && at >= 0 ? `${base}${at}` : undefined}
      className="table-tree scroll-thin"
      onScroll={measure}
      onKeyDown={onKeyDown}
      onFocus={() => {
        if (at < 0 && rows[0]) onCursor(rows[0]);
      }}
    >
      <div role="presentation" style={{ height: rows.length * line, position: 'relative' }}>
        {rows.slice(first, last).map((row, i) => (
          <Line
            key={row.key}
            id={`${base}${first + i}`}
            row={row}
            top={(first + i) * line}
            line={line}
            current={row.key === cursor}
            selected={row.key === selected}
            onCursor={onCursor}
            onToggle={onToggle}
          />
        ))}
      </div>
    </div>
  );
});

interface LineProps {
  readonly id: string;
  readonly row: Row;
  readonly top: number;
  readonly line: number;
  readonly current: boolean;
  readonly selected: boolean;
  readonly onCursor: (row: Row) => void;
  readonly onToggle: (row: Row, open: boolean) => void;
}

const Line = memo(function Line({ id, row, top, line, current, selected, onCursor, onToggle }: LineProps) {
  const change = changeText(row);
  const own = change !== '' && change !== 'changes inside';
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents lint/a11y/useFocusableInteractive: the tree has the focus and the keys
    <div
      role="treeitem"
      id={id}
      aria-level={row.depth + 1}
      aria-posinset={row.pos}
      aria-setsize={row.size}
      aria-expanded={row.expandable ? row.open : undefined}
      aria-selected={selected}
      aria-label={`${rowText(row)}${change && `. ${change}`}${row.onPath ? '. On the walk' : ''}`}
      className={`table-line ${current ? 'table-line-current' : ''} ${selected ? 'table-line-selected' : ''}`}
      style={{ top, height: line, paddingLeft: `${0.5 + row.depth}rem` }}
      onClick={() => {
        if (String(window.getSelection() ?? '') !== '') return;
        onCursor(row);
      }}
      onDoubleClick={() => row.expandable && onToggle(row, !row.open)}
    >
      {row.expandable ? (
        <span
          className="table-twisty"
          aria-hidden="true"
          onClick={(e) => {
            e.stopPropagation();
            onCursor(row);
            onToggle(row, !row.open);
          }}
          onDoubleClick={(e) => e.stopPropagation()}
        >
          {row.open ? '▾' : '▸'}
        </span>
      ) : (
        <span className="table-twisty" aria-hidden="true" />
      )}
      {row.onPath && (
        <span className="table-path" title="The walk that you asked for reads this entry">
          walk
        </span>
      )}
      <Content row={row} />
      {change !== '' && (
        <span className={own ? 'table-change' : 'table-inside'} title={changeTitle(row, change)}>
          {own ? `± ${change}` : '• changes inside'}
        </span>
      )}
    </div>
  );
});

/** Old and new words, for those who want the bits. */
function changeTitle(row: Row, change: string): string {
  if (row.kind !== 'entry' || !row.before) return change;
  return wordChanges(row.before, row.entry)
    .map((w) => `word ${w.word}: ${hex(w.from, 16)} → ${hex(w.to, 16)}`)
    .join('\n');
}

function Content({ row }: { row: Row }) {
  switch (row.kind) {
    case 'root':
      return (
        <>
          <span className="table-title">{row.root.title}</span>
          <span className="table-about">{row.root.about}</span>
        </>
      );
    case 'table':
      return (
        <>
          <span className="table-sub">{row.ref.title}</span>
          <span className="table-about">
            {row.ref.space} memory {hex(row.ref.address)}
          </span>
        </>
      );
    case 'note':
      return <span className="table-about">{row.text}</span>;
    case 'chunk':
      return (
        <>
          <span className="table-range">{rangeText(row.ref, row.item.from, row.item.count)}</span>
          <span className="table-about">{row.item.count} entries, read when opened</span>
        </>
      );
    case 'run':
      return (
        <>
          <span className="table-range">{rangeText(row.ref, row.item.from, row.item.count)}</span>
          <span className={row.item.of === 'page' || row.item.of === 'record' ? 'table-text' : 'table-empty'}>
            {row.item.of === 'page' && '→ '}
            {runText(row.ref, row.item)}
          </span>
        </>
      );
    case 'entry': {
      const { kind } = row.entry;
      return (
        <>
          <span className="table-range">{rangeText(row.ref, row.entry.index)}</span>
          <span className={kind === 'empty' || kind === 'invalid' ? 'table-empty' : 'table-text'}>
            {(kind === 'page' || kind === 'table') && '→ '}
            {row.entry.text}
          </span>
        </>
      );
    }
  }
}
