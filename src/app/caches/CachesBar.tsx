import {
  type Cache,
  columnNames,
  countStates,
  countsText,
  type Entry,
  type Filter,
  type Show,
} from '../../views/caches/index.ts';
import type { Look } from './use-caches.ts';

interface Props {
  readonly look: Look;
  readonly setLook: (change: Partial<Look>) => void;
  readonly caches: readonly Cache[];
  readonly entries: readonly Entry[];
  /** Devices of the document. */
  readonly devices: readonly string[];
}

const showTexts: Readonly<Record<Show, string>> = {
  now: 'Cached',
  stale: 'Stale',
  step: 'This step',
  removed: 'Removed',
  all: 'All ever',
};

/** What is looked for, shown and grouped. */
export function CachesBar({ look, setLook, caches, entries, devices }: Props) {
  const { filter } = look;
  const set = (change: Partial<Filter>): void => setLook({ filter: { ...filter, ...change } });
  const choose = (v: string): string | null => (v === '' ? null : v);
  const select = 'btn max-w-24 min-w-0 shrink appearance-none px-1 text-left text-ellipsis';
  return (
    <div className="flex min-w-0 items-center gap-1">
      <input
        type="search"
        aria-label="Filter the entries"
        placeholder="Find"
        className="field h-7 w-32 min-w-12 shrink-[99] text-xs"
        value={filter.text}
        onChange={(e) => set({ text: e.target.value })}
      />
      <select
        aria-label="Which entries"
        className={select}
        value={filter.show}
        onChange={(e) => set({ show: e.target.value as Show })}
      >
        {Object.entries(showTexts).map(([id, text]) => (
          <option key={id} value={id}>
            {text}
          </option>
        ))}
      </select>
      <select
        aria-label="Which cache"
        className={select}
        value={filter.cache ?? ''}
        onChange={(e) => set({ cache: choose(e.target.value) })}
      >
        <option value="">Caches</option>
        {caches.map((c) => (
          <option key={c.id} value={c.id}>
            {c.title}
          </option>
        ))}
      </select>
      <select
        aria-label="Which device"
        className={select}
        value={filter.device ?? ''}
        onChange={(e) => set({ device: choose(e.target.value) })}
      >
        <option value="">Devices</option>
        {devices.map((d) => (
          <option key={d} value={d}>
            {d}
          </option>
        ))}
      </select>
      <select
        aria-label="Group by"
        className={select}
        value={look.group ?? ''}
        onChange={(e) => setLook({ group: choose(e.target.value) })}
      >
        <option value="">Group</option>
        {columnNames(caches).map((c) => (
          <option key={c} value={c}>
            By {c}
          </option>
        ))}
      </select>
      <span className="ml-1 hidden truncate text-2xs whitespace-nowrap text-ink-3 tabular-nums min-[1600px]:inline">
        {countsText(countStates(entries))}
      </span>
    </div>
  );
}
