import { useMemo, useState } from 'react';
import { modelled } from '../../engine/machine/vendors.ts';
import { useApp, useAppStore } from '../context.ts';
import { Dialog } from '../Dialog.tsx';
import { glossaryGroups } from '../glossary/index.ts';
import { findTerms } from './find-terms.ts';

/** Every term by vendor, with its source and a way to where it stands in the picture. */
export function GlossaryDialog({ term = '' }: { term?: string }) {
  const app = useAppStore();
  const [query, setQuery] = useState(term);
  const vendor = useApp((s) => s.document?.platform.iommu ?? '');
  const place = useApp((s) => s.place);
  const groups = useMemo(() => findTerms(glossaryGroups(vendor), query), [vendor, query]);
  const objects = app.simulation()?.scene(place).objects ?? [];
  const title = (id: string): string =>
    id === '' ? 'All architectures' : (modelled.find((m) => m.name === id)?.title ?? id);
  return (
    <Dialog title="Glossary" width="w-[44rem]" onClose={() => app.showDialog(null)}>
      <div className="border-b border-line px-4 py-3">
        <input
          type="search"
          className="field"
          aria-label="Find a term"
          placeholder="Find a term"
          autoFocus
          value={query}
          onChange={(e) => setQuery(e.target.value)}
        />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a list that scrolls must be reached by keyboard */}
      <section className="scroll-thin min-h-40 overflow-y-auto px-4 pb-4" aria-label="Terms" tabIndex={0}>
        {groups.length === 0 && (
          <p className="py-4 text-ink-2">No term has these words. Ctrl K searches the document itself.</p>
        )}
        {groups.map((g) => (
          <section key={g.vendor} aria-label={title(g.vendor)}>
            <h3 className="sticky top-0 bg-panel pt-3 pb-1 text-xs font-semibold text-ink-3">{title(g.vendor)}</h3>
            <dl className="space-y-2.5">
              {g.terms.map((t) => {
                const here =
                  g.vendor === '' || g.vendor === vendor ? objects.find((o) => o.type === t.term) : undefined;
                return (
                  <div key={t.term}>
                    <dt className="flex items-baseline justify-between gap-3 font-semibold">
                      {t.term}
                      {here && (
                        <button
                          type="button"
                          className="btn h-6 font-normal"
                          onClick={() => {
                            app.showDialog(null);
                            app.select({ id: here.id });
                          }}
                        >
                          Show {here.title}
                        </button>
                      )}
                    </dt>
                    <dd>
                      {t.text} <span className="text-xs text-ink-3">{t.source}</span>
                    </dd>
                  </div>
                );
              })}
            </dl>
          </section>
        ))}
      </section>
    </Dialog>
  );
}
