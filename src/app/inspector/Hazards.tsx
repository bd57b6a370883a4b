import type { Hazard } from '../../store/index.ts';
import { useAppStore } from '../context.ts';
import { stepTitle } from '../describe.ts';
import { Term } from '../Term.tsx';

function Entry({ hazard }: { hazard: Hazard }) {
  const app = useAppStore();
  const { cause, remedyStep: step } = hazard;
  return (
    <li className="rounded-lg border border-dashed border-stale bg-stale-soft p-3">
      <p className="font-semibold text-stale-ink">{hazard.text}</p>
      <p className="mt-1 text-xs">
        {/* What a VMM has bound is no cache that a walk would fill. */}
        {hazard.cache.endsWith(' bindings') ? 'The guest’s tables say' : 'A fresh walk gives'}: {hazard.now}.
      </p>
      {cause && (
        <p className="mt-0.5 text-xs">
          Made stale by{' '}
          <button
            type="button"
            className="rounded-sm underline"
            onClick={() => app.moveTo({ step: cause.step, event: cause.event + 1 })}
          >
            {cause.step === 0 ? 'the setup' : `step ${cause.step}`}, event {cause.event + 1}
          </button>
          .
        </p>
      )}
      <p className="mt-0.5 text-xs">
        Missing: <code className="font-mono">{hazard.missing}</code>
      </p>
      <div className="mt-2 flex flex-wrap gap-1.5">
        {step && (
          <button
            type="button"
            className="btn border-stale font-semibold text-stale-ink"
            onClick={() => app.runOperation(step, stepTitle(step))}
          >
            {stepTitle(step)}
          </button>
        )}
        <button type="button" className="btn" onClick={() => app.select({ id: hazard.at, row: hazard.entry })}>
          Show the entry
        </button>
      </div>
    </li>
  );
}

/** What is stale at the playing head, which command is missing, and a way to send it. */
export function HazardSection({ hazards }: { hazards: readonly Hazard[] }) {
  if (hazards.length === 0) return null;
  return (
    <section aria-label="Hazards" className="border-t border-line px-4 py-3">
      <h3 className="mb-2 text-sm font-semibold text-stale-ink">
        <Term term="hazard">{hazards.length === 1 ? 'Hazard' : `${hazards.length} hazards`}</Term>
      </h3>
      <ul className="space-y-2">
        {hazards.slice(0, 12).map((h) => (
          <Entry key={`${h.cache} ${h.entry}`} hazard={h} />
        ))}
      </ul>
      {hazards.length > 12 && <p className="mt-2 text-xs text-ink-2">And {hazards.length - 12} more.</p>}
    </section>
  );
}
