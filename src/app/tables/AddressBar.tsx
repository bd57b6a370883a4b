import { useId, useState } from 'react';
import type { Filter } from '../../views/tables/index.ts';

/** Where to go, and which entries are listed. */
export function AddressBar({
  filter,
  onFilter,
  changes,
  onGo,
}: {
  filter: Filter;
  onFilter: (f: Filter) => void;
  /** Words of memory that the step has changed. */
  changes: number;
  onGo: (text: string) => void;
}) {
  const id = useId();
  const [text, setText] = useState('');
  return (
    <form
      className="flex min-w-0 items-center gap-1.5"
      onSubmit={(e) => {
        e.preventDefault();
        onGo(text);
      }}
    >
      <input
        type="search"
        aria-label="Go to an address"
        aria-describedby={`${id}h`}
        placeholder="Go to, e.g. 0x10000"
        title="An address, and before it whose: nic0 0x10000, nic0 pasid 5 0x10000, guest 0x40200000, host 0x1000. Enter goes there."
        className="field h-7 w-40 min-w-16 shrink text-xs"
        value={text}
        onChange={(e) => setText(e.target.value)}
        onKeyDown={(e) => {
          if (e.key === 'Enter') return;
          if (e.key !== 'Escape' || text !== '') e.stopPropagation();
          if (e.key === 'Escape') setText('');
        }}
      />
      <span id={`${id}h`} className="sr-only">
        A device with an optional PASID before the address opens its walk; guest or host opens bytes in memory.
      </span>
      <select
        aria-label="Which entries"
        className="btn min-w-0 appearance-none"
        value={filter}
        onChange={(e) => onFilter(e.target.value as Filter)}
      >
        <option value="all">All entries</option>
        <option value="valid">Valid only</option>
        <option value="changed">Changed only</option>
      </select>
      <span
        className="ml-1 text-2xs whitespace-nowrap text-ink-3 tabular-nums"
        title="64-bit words that this step has changed"
      >
        {changes === 0 ? 'no changes' : changes === 1 ? '± 1 word' : `± ${changes} words`}
      </span>
    </form>
  );
}
