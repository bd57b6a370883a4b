import { useMemo } from 'react';
import type { StepRecord } from '../../store/index.ts';
import { type Folds, type Ladder, type LadderTextLine, ladderText, setFold } from '../../views/ladder/index.ts';
import { useApp, useAppStore } from '../context.ts';

/** Events of one step that are written out. */
const most = 1000;

interface Props {
  readonly ladder: Ladder;
  readonly records: readonly StepRecord[];
  readonly titles: readonly string[];
  readonly folds: Folds;
  readonly setFolds: (change: (f: Folds) => Folds) => void;
}

function Lines({ lines, step, event }: { lines: readonly LadderTextLine[]; step: number; event: number }) {
  const app = useAppStore();
  return (
    <ol className="ml-5 space-y-0.5">
      {lines.map((l) => (
        <li key={l.key}>
          <button
            type="button"
            className={`rounded-sm text-left font-mono text-xs select-text hover:underline ${l.event === event ? 'bg-accent-soft font-semibold' : ''}`}
            aria-current={l.event === event ? 'step' : undefined}
            onClick={() => app.moveTo({ step, event: l.event })}
          >
            {l.text}
          </button>
          {l.lines.length > 0 && <Lines lines={l.lines} step={step} event={event} />}
        </li>
      ))}
    </ol>
  );
}

function Step({ step, open, ...p }: Props & { step: number; open: boolean }) {
  const { ladder, records, titles, setFolds } = p;
  const event = useApp((s) => (s.place.step === step ? s.place.event : -1));
  const record = records[step]!;
  const text = useMemo(
    () => (open ? ladderText(ladder, record, titles[step]!, most) : null),
    [open, ladder, record, titles, step],
  );
  return (
    <section aria-label={step === 0 ? 'Setup' : `Step ${step}`} className="border-b border-line py-1.5">
      <h3 className="text-xs font-semibold">
        <button
          type="button"
          aria-expanded={open}
          className="rounded-sm text-left hover:underline"
          onClick={() => setFolds((f) => setFold(f, { kind: 'step', step, group: '' }, !open))}
        >
          {open ? '▾ ' : '▸ '}
          {step === 0 ? titles[0] : `Step ${step}: ${titles[step]}`}{' '}
          <span className="font-normal text-ink-2">
            ({record.eventCount === 1 ? '1 event' : `${record.eventCount} events`})
          </span>
        </button>
      </h3>
      {text && (
        <>
          {text.lines.length > 0 && <Lines lines={text.lines} step={step} event={event} />}
          {text.more > 0 && <p className="ml-5 text-xs text-ink-2">and {text.more} more events</p>}
          {text.hazards.map((h) => (
            <p key={h} className="ml-5 text-xs text-stale-ink">
              ⚠ Stale: {h}
            </p>
          ))}
          <p className="ml-5 text-xs text-ink-2">
            Cost: {text.cost}
            {text.trouble === '' ? '' : ` (${text.trouble})`}
          </p>
        </>
      )}
    </section>
  );
}

/** The ladder in words, step by step. */
export function LadderTextView(p: Props) {
  const current = useApp((s) => s.place.step);
  const near = 200;
  const from = Math.max(0, Math.min(current - near, p.records.length - 2 * near));
  const shown = p.records.slice(from, from + 2 * near);
  return (
    <section aria-label="Ladder as text" className="scroll-thin min-h-0 flex-1 overflow-y-auto px-3">
      {from > 0 && <p className="py-1 text-xs text-ink-2">{from} earlier steps are left out.</p>}
      {shown.map((_, i) => {
        const step = from + i;
        const open = p.folds.steps.get(step) ?? (p.folds.mode === 'folded' ? false : step === current);
        return <Step key={step} step={step} open={open} {...p} />;
      })}
      {from + shown.length < p.records.length && (
        <p className="py-1 text-xs text-ink-2">{p.records.length - from - shown.length} later steps are left out.</p>
      )}
    </section>
  );
}
