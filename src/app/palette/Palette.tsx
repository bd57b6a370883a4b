import { type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from 'react';
import type { LibraryScenario } from '../../library/index.ts';
import { useAppStore } from '../context.ts';
import { Dialog } from '../Dialog.tsx';
import { Icon } from '../Icon.tsx';
import { allEntries, type Entry, findEntries } from './entries.ts';
import { useTraceHits } from './trace-hits.ts';

const most = 60;

/** Everything that can be done or gone to, by name; and every event of the trace, by what is in it. */
export function Palette({ scenarios }: { scenarios: readonly LibraryScenario[] }) {
  const app = useAppStore();
  const id = useId();
  const [query, setQuery] = useState('');
  const [at, setAt] = useState(0);
  const entries = useMemo(() => allEntries(app, scenarios), [app, scenarios]);
  const named = useMemo(() => findEntries(entries, query).slice(0, most), [entries, query]);
  const { hits, more } = useTraceHits(app, query);
  const found = useMemo(() => [...named, ...hits], [named, hits]);
  const list = useRef<HTMLDivElement>(null);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the chosen line is kept in view
  useEffect(() => {
    list.current?.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
  }, [at, found]);

  const run = (e: Entry | undefined): void => {
    if (!e) return;
    app.showDialog(null);
    e.run();
  };
  const onKeyDown = (e: KeyboardEvent): void => {
    const to =
      e.key === 'ArrowDown'
        ? at + 1
        : e.key === 'ArrowUp'
          ? at - 1
          : e.key === 'PageDown'
            ? at + 8
            : e.key === 'PageUp'
              ? at - 8
              : null;
    if (to !== null) {
      e.preventDefault();
      setAt(Math.max(0, Math.min(found.length - 1, to)));
    } else if (e.key === 'Enter') {
      e.preventDefault();
      run(found[at]);
    }
  };
  return (
    <Dialog title="Search or run" bare high width="w-[36rem]" onClose={() => app.showDialog(null)}>
      <div className="flex items-center gap-2 border-b border-line px-4">
        <Icon name="search" className="size-4 text-ink-3" />
        <input
          ref={input}
          type="text"
          role="combobox"
          aria-expanded="true"
          aria-controls={`${id}l`}
          aria-activedescendant={found[at] ? `${id}${at}` : undefined}
          aria-autocomplete="list"
          aria-label="Search or run"
          placeholder="An operation, an object, a step; an address, an id or a command anywhere in time…"
          autoComplete="off"
          spellCheck={false}
          className="h-12 w-full bg-transparent text-base outline-none placeholder:text-ink-3"
          value={query}
          onChange={(e) => {
            setQuery(e.target.value);
            setAt(0);
          }}
          onKeyDown={onKeyDown}
        />
      </div>
      <div
        ref={list}
        id={`${id}l`}
        role="listbox"
        aria-label="Results"
        className="scroll-thin max-h-[52vh] overflow-y-auto p-1.5"
      >
        {found.map((e, i) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents lint/a11y/useFocusableInteractive: the text field has the focus and the keys
          <div
            key={e.id}
            id={`${id}${i}`}
            role="option"
            aria-selected={i === at}
            onClick={() => run(e)}
            onMouseMove={() => setAt(i)}
            className={`flex cursor-pointer items-baseline gap-3 rounded-md px-2.5 py-1.5 ${i === at ? 'bg-accent-soft' : ''}`}
          >
            <span
              className="min-w-0 flex-1 truncate"
              title={e.group === 'Events' ? `${e.title}, ${e.note}` : undefined}
            >
              {e.title}
              {e.note !== '' && e.group !== 'Commands' && <span className="ml-2 text-xs text-ink-3">{e.note}</span>}
            </span>
            {e.group === 'Commands' && e.note !== '' && <kbd className="font-sans text-2xs text-ink-3">{e.note}</kbd>}
            <span className="text-2xs text-ink-3">{e.group}</span>
          </div>
        ))}
        {found.length === 0 && !more && <p className="p-3 text-ink-2">Nothing has these words.</p>}
        {more && hits.length > 0 && <p className="px-2.5 py-1.5 text-xs text-ink-3">More events have these words.</p>}
      </div>
    </Dialog>
  );
}
