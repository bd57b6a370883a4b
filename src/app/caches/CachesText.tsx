import { useMemo, useState } from 'react';
import { cachesPlainText, cachesText } from '../../views/caches/index.ts';
import { useAppStore } from '../context.ts';
import { Icon } from '../Icon.tsx';
import type { useCaches } from './use-caches.ts';

/** The view as headings and tables. */
export function CachesText({ groups }: Pick<ReturnType<typeof useCaches>, 'groups'>) {
  const app = useAppStore();
  const [copied, setCopied] = useState(false);
  const sections = useMemo(() => cachesText(groups), [groups]);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(cachesPlainText(groups));
      setCopied(true);
      setTimeout(() => setCopied(false), 1600);
    } catch {
      app.notify('error', 'The browser did not allow copying', ['Select the lines and copy them by hand.']);
    }
  };
  return (
    <section
      aria-label="Caches as text"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
      tabIndex={0}
      className="scroll-thin min-h-0 flex-1 overflow-auto px-3 py-2 text-xs -outline-offset-2"
    >
      <button type="button" className="btn float-right" onClick={() => void copy()}>
        <Icon name={copied ? 'check' : 'copy'} className="size-3.5" />
        {copied ? 'Copied' : 'Copy'}
      </button>
      {sections.map((s) => (
        <section key={s.key} aria-label={s.title} className="mb-3">
          <h3 className="font-semibold">
            {s.title} <span className="font-normal text-ink-2">({s.counts})</span>
          </h3>
          <table className="mt-1 border-collapse text-left">
            <thead className="text-2xs text-ink-2">
              <tr>
                {['entry', 'state', ...s.columns, 'life'].map((c) => (
                  <th key={c} scope="col" className="pr-4 font-normal">
                    {c}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {s.rows.map((r) => (
                <tr key={`${r.number} ${r.entry.life.filled?.step}`} className="align-top">
                  <td className="pr-4">
                    <button
                      type="button"
                      className="rounded-sm underline decoration-dotted underline-offset-2"
                      onClick={() => app.select({ id: r.entry.life.at, row: r.entry.life.entry })}
                    >
                      {r.number}
                    </button>
                  </td>
                  <td className="pr-4 whitespace-nowrap">{r.state}</td>
                  {r.cells.map((c, i) => (
                    // biome-ignore lint/suspicious/noArrayIndexKey: a cell is its column
                    <td key={i} className="pr-4 font-mono whitespace-nowrap">
                      {c}
                    </td>
                  ))}
                  <td className="min-w-48">{r.life}.</td>
                </tr>
              ))}
            </tbody>
          </table>
          {s.more > 0 && <p className="mt-1 text-ink-2">And {s.more} more: a filter shows them.</p>}
        </section>
      ))}
    </section>
  );
}
