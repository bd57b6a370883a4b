import { walkTable } from './text.ts';
import type { Walk } from './types.ts';

/** A walk as a real table. */
export function WalkText({ walk, event, onGo }: { walk: Walk; event: number; onGo: (event: number) => void }) {
  const t = walkTable(walk, event);
  return (
    <section aria-label="Walk" className="p-3 text-xs select-text">
      <h2 className="text-sm font-semibold">{t.title}</h2>
      <ul className="mt-1 mb-2 text-ink-2">
        {t.facts.map((f) => (
          <li key={f}>{f}</li>
        ))}
        <li>
          Result: <span className="text-ink">{t.result}</span>
        </li>
      </ul>
      <table className="border-collapse">
        <thead>
          <tr>
            <th scope="col" className="border border-line px-2 py-1 text-left">
              what is found
            </th>
            {t.columns.map((c) => (
              <th key={c} scope="col" className="border border-line px-2 py-1 text-left">
                {c}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {t.rows.map((r) => (
            <tr key={r.key}>
              <th scope="row" className="border border-line px-2 py-1 text-left align-top font-semibold">
                {r.head}
              </th>
              {r.cells.map((c) => (
                <td
                  key={c.key}
                  aria-current={c.event === event ? 'step' : undefined}
                  className={`border border-line px-2 py-1 align-top font-mono ${c.event === event ? 'bg-accent-soft' : ''}`}
                >
                  {c.text}
                  {c.text !== '' && c.event !== null && c.event !== event && (
                    <>
                      {' '}
                      <button
                        type="button"
                        className="font-sans text-accent-ink underline"
                        aria-label={`Go there: ${c.text}`}
                        onClick={() => onGo(c.event!)}
                      >
                        go
                      </button>
                    </>
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
