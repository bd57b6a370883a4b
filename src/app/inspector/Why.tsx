import { useMemo } from 'react';
import type { OriginQuery } from '../../engine/analysis/index.ts';
import type { Place, Selection } from '../../store/index.ts';
import { actorNames, eventText } from '../../views/trace/text.ts';
import { useApp, useAppStore } from '../context.ts';
import { stepTitle } from '../describe.ts';

/** What "why is this here" asks of the trace for a selection. */
function queryOf(s: Selection, place: Place): OriginQuery {
  const { record } = s;
  if (record) return { kind: 'memory', space: record.space, guest: record.guest, address: record.address, place };
  if (s.row !== undefined) return { kind: 'row', at: s.id, row: s.row, place };
  if (s.index !== undefined) return { kind: 'slot', at: s.id, index: s.index, place };
  return { kind: 'object', id: s.id, place };
}

/** The event that made what is selected, and what that followed from, up to the operation that a person asked for. */
export function WhySection({ selection, place }: { selection: Selection; place: Place }) {
  const app = useAppStore();
  const records = useApp((s) => s.records);
  const origin = useMemo(
    () => (records.length === 0 ? null : (app.simulation()?.index().originOf(queryOf(selection, place)) ?? null)),
    [app, records, selection, place],
  );
  if (!origin) return null;
  const { step } = origin.place;
  const title = step === 0 ? 'Setup' : `Step ${step}: ${stepTitle(records[step]?.step ?? null)}`;
  return (
    <section aria-label="Why is this here" className="border-t border-line px-4 py-3">
      <h3 className="text-xs font-semibold">Why is this here</h3>
      <p className="mt-0.5 text-2xs text-ink-3">
        {origin.exact ? title : `${title}. No event shows this very word; this one is the first write to its page.`}
      </p>
      <ol className="mt-1.5 space-y-0.5">
        {origin.chain.map((link, i) => (
          <li key={`${link.place.step}.${link.place.event}`} className="flex items-baseline gap-1.5 text-xs">
            <span className="w-14 shrink-0 text-2xs text-ink-3">{i === 0 ? 'made by' : 'because'}</span>
            <button
              type="button"
              className="min-w-0 rounded-sm text-left break-words underline decoration-line-strong underline-offset-2 hover:decoration-ink"
              title={`Go to step ${link.place.step}, event ${link.place.event}`}
              onClick={() => app.moveTo(link.place)}
            >
              <span className="text-2xs text-ink-3">{actorNames[link.event.actor]} </span>
              <span className="font-mono">{eventText(link.event)}</span>
            </button>
          </li>
        ))}
      </ol>
    </section>
  );
}
