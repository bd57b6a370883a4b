import type { StepRecord } from '../../store/index.ts';
import { Term } from '../Term.tsx';

/** What the step cost, as counts. */
export function CostSection({ record, step }: { record: StepRecord; step: number }) {
  const c = record.cost;
  const tiles: readonly (readonly [string, number])[] = [
    ['VM exits', c.exits],
    ['ioctls', c.ioctls],
    ['commands', c.commands],
    ['syncs', c.syncs],
    ['dropped', c.removed],
    ['still valid', c.stillValid],
  ];
  return (
    <section aria-label="Cost of this step" className="border-t border-line px-4 py-3">
      <h3 className="mb-2 text-sm font-semibold">{step === 0 ? 'Cost of the setup' : 'Cost of this step'}</h3>
      <dl className="grid grid-cols-3 gap-1.5">
        {tiles.map(([name, value]) => (
          <div key={name} className="flex flex-col-reverse rounded-md border border-line bg-sunken px-2 py-1.5">
            <dt className="text-2xs text-ink-2">
              <Term term={name} />
            </dt>
            <dd
              className={`text-base font-semibold tabular-nums ${name === 'still valid' && value > 0 ? 'text-wasted-ink' : ''}`}
            >
              {value}
            </dd>
          </div>
        ))}
      </dl>
      {c.reads > 0 && (
        <p className="mt-2 text-xs text-ink-2">
          <Term term="reads">{`${c.reads} memory ${c.reads === 1 ? 'read' : 'reads'}`}</Term> of table walks.
        </p>
      )}
    </section>
  );
}
