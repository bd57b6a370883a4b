import type { StepRecord } from '../../store/index.ts';
import { useApp, useAppStore } from '../context.ts';
import { stepTitle } from '../describe.ts';

/** Operations in which devices ask for translations. */
const translates = new Set(['device.dma', 'device.ats']);

/** The nearest step in which a device asks for something, the later one when two are as near. */
function nearest(records: readonly StepRecord[], step: number): number | null {
  const asks = (k: number): boolean => translates.has(records[k]?.operation.do ?? '');
  for (let by = 1; by < records.length; by++) {
    if (step + by < records.length && asks(step + by)) return step + by;
    if (step - by > 0 && asks(step - by)) return step - by;
  }
  return null;
}

/** What stands where the step has no walk: how to come to one. */
export function NoWalk() {
  const app = useAppStore();
  const records = useApp((s) => s.records);
  const document = useApp((s) => s.document);
  const step = useApp((s) => s.place.step);
  const to = nearest(records, step);
  return (
    <div className="flex flex-wrap items-center gap-2 p-3 text-xs text-ink-2">
      <p className="w-full">
        No address is translated in this step. A walk is drawn when a device accesses memory or asks for a translation.
      </p>
      {to !== null && (
        <button type="button" className="btn" onClick={() => app.moveTo({ step: to, event: Number.POSITIVE_INFINITY })}>
          Go to step {to}: {stepTitle(document?.steps[to - 1] ?? null)}
        </button>
      )}
      <button type="button" className="btn" onClick={() => app.showDialog({ kind: 'operation', name: 'device.dma' })}>
        Let a device access memory…
      </button>
    </div>
  );
}
