import { useMemo } from 'react';
import { createPortal } from 'react-dom';
import { foldAll } from '../../views/ladder/index.ts';
import { useApp } from '../context.ts';
import { stepTitle } from '../describe.ts';
import { LadderList } from './LadderList.tsx';
import { LadderTextView } from './LadderTextView.tsx';
import { useFolds, useLadder } from './use-ladder.ts';
import './ladder.css';

/**
 * Who said what to whom, in order: the trace as a sequence diagram.
 * @param bar  place at the right of the tabs for what the view filters and switches
 */
export function LadderPane({ bar }: { bar: HTMLElement | null }) {
  const records = useApp((s) => s.records);
  const asText = useApp((s) => s.settings.asText);
  const ladder = useLadder();
  const [folds, setFolds] = useFolds();
  const titles = useMemo(() => records.map((r) => stepTitle(r.step)), [records]);
  const events = useMemo(() => records.reduce((n, r) => n + r.eventCount, 0), [records]);
  if (records.length === 0) return <p className="p-3 text-xs text-ink-2">Open a scenario: its messages appear here.</p>;
  return (
    <>
      {bar &&
        createPortal(
          <div className="flex min-w-0 items-center gap-1.5">
            <button
              type="button"
              className="btn"
              title="Fold all steps and groups: each step is one line"
              onClick={() => setFolds(() => foldAll('folded'))}
            >
              Fold all
            </button>
            <button
              type="button"
              className="btn"
              title="Open all steps and groups: each event is one line"
              onClick={() => setFolds(() => foldAll('open'))}
            >
              Unfold all
            </button>
            <button
              type="button"
              className="btn"
              title="Only the step at the playing head is open; walks and other long runs are folded"
              aria-pressed={folds.mode === 'auto'}
              onClick={() => setFolds(() => foldAll('auto'))}
            >
              This step
            </button>
            <span className="ml-1 truncate text-2xs whitespace-nowrap text-ink-3 tabular-nums">
              {events === 1 ? '1 event' : `${events} events`}
            </span>
          </div>,
          bar,
        )}
      {asText ? (
        <LadderTextView ladder={ladder} records={records} titles={titles} folds={folds} setFolds={setFolds} />
      ) : (
        <LadderList ladder={ladder} records={records} titles={titles} folds={folds} setFolds={setFolds} />
      )}
    </>
  );
}
