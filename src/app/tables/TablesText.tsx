import { useMemo } from 'react';
import { type Filter, type TableReader, tablesText } from '../../views/tables/index.ts';

/** The tables as text: a heading and a list for each. */
export function TablesText({ reader, filter }: { reader: TableReader; filter: Filter }) {
  const sections = useMemo(() => tablesText(reader, filter), [reader, filter]);
  return (
    <section
      className="scroll-thin min-h-0 flex-1 overflow-auto px-3 py-2 text-xs"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
      tabIndex={0}
      aria-label="Tables as text"
    >
      {sections.length === 0 && <p className="text-ink-2">No table to list here.</p>}
      {sections.map((s) => (
        <section key={`${s.title} ${s.about}`} className="mb-3">
          <h3 className="font-semibold">
            {s.title} <span className="font-normal text-ink-2">{s.about}</span>
          </h3>
          {s.lines.length === 0 ? (
            <p className="text-ink-3">Empty.</p>
          ) : (
            <ul>
              {s.lines.map((l, i) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: a line is its place
                <li key={i} className="font-mono break-words" style={{ paddingLeft: `${l.depth}rem` }}>
                  {l.text}
                  {l.change !== '' && <strong className="text-kernel-ink"> ± {l.change}</strong>}
                </li>
              ))}
            </ul>
          )}
          {s.cut && <p className="text-ink-3">And more: open it in the tree.</p>}
        </section>
      ))}
    </section>
  );
}
