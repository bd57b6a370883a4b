import { memo } from 'react';
import type { StepRecord } from '../../store/index.ts';
import { bandName, bandOfOperation, bandStyle } from '../actors.ts';
import { appCommand } from '../commands/app-commands.ts';
import { useAppStore } from '../context.ts';
import { stepTitle } from '../describe.ts';
import { Icon } from '../Icon.tsx';
import { Markdown } from '../Markdown.tsx';

interface Props {
  readonly index: number;
  readonly record: StepRecord;
  readonly state: 'done' | 'running' | 'at-end' | 'pending';
}

/** Number in the colour of who acts first: filled when it is done, an outline while it is to come. */
function Dot({ index, record, state }: Props) {
  const style = bandStyle[bandOfOperation(record.operation)];
  const look =
    state === 'pending'
      ? `${style.ring} ${style.text} bg-panel`
      : `${style.ring} ${style.dot} text-white dark:text-black`;
  return (
    <span
      aria-hidden="true"
      className={`mt-px grid h-5 min-w-5 shrink-0 place-items-center rounded-full px-0.5 border-[1.5px] text-2xs font-bold ${look}`}
    >
      {index}
    </span>
  );
}

function Outcome({ record }: { record: StepRecord }) {
  const { result, hazards, failures } = record;
  // A step that expects nothing must succeed when the document is checked; here its failure is simply shown.
  const shown = record.step?.expect ? failures : [];
  const errno = result.errno && result.errno !== '0' ? result.errno : null;
  // What the scenario wants to show is no alarm.
  const expected = !result.ok && record.step?.expect !== undefined && failures.length === 0;
  return (
    <>
      <span className={`block text-xs break-words ${result.ok || expected ? 'text-ink-2' : 'text-removed-ink'}`}>
        {!result.ok && (!expected || errno || result.fault) && (
          <strong>{errno ?? result.fault?.name ?? 'Failed'}: </strong>
        )}
        {result.text}
        {expected && ' (as expected)'}
      </span>
      {hazards.length > 0 && (
        <span className="mt-0.5 flex items-center gap-1 text-xs font-semibold text-stale-ink">
          <Icon name="warning" className="size-3.5" />
          {hazards.length === 1 ? '1 stale entry' : `${hazards.length} stale entries`}
        </span>
      )}
      {shown.map((f) => (
        <span key={f.path} className="mt-0.5 block text-xs break-words text-removed-ink">
          <strong>Expectation not met</strong>
          {f.path === '' ? '' : ` (${f.path})`}: expected {f.expected}, got {f.actual}
        </span>
      ))}
    </>
  );
}

export const StepItem = memo(function StepItem(props: Props) {
  const { index, record, state } = props;
  const app = useAppStore();
  const current = state === 'running' || state === 'at-end';
  const say = record.step?.say;
  const band = bandOfOperation(record.operation);
  return (
    <li
      aria-current={current ? 'step' : undefined}
      className={`rounded-lg border ${current ? 'border-accent/35 bg-accent-soft' : 'border-transparent'}`}
    >
      <button
        type="button"
        data-rove
        tabIndex={current ? 0 : -1}
        onClick={() => app.moveTo({ step: index, event: record.eventCount })}
        className={`flex w-full gap-2.5 rounded-lg px-2 py-1.5 text-left ${current ? '' : 'hover:bg-sunken'}`}
      >
        <Dot {...props} />
        <span className="min-w-0 flex-1">
          <span className="block font-semibold break-words">
            <span className="sr-only">
              Step {index}, {bandName[band]}:{' '}
            </span>
            {index === 0 ? setupTitle(record) : stepTitle(record.step)}
          </span>
          <Outcome record={record} />
        </span>
      </button>
      {current && (
        <div className="pr-3 pb-2.5 pl-10">
          {say && <Markdown text={say} className="text-sm" />}
          <button
            type="button"
            className="btn mt-2 h-6 px-2"
            title="Play this step again (R)"
            onClick={() => appCommand('player.replayStep').run(app)}
          >
            <Icon name="play" className="size-3" /> Play this step
          </button>
        </div>
      )}
    </li>
  );
});

function setupTitle(record: StepRecord): string {
  const kind = record.operation['setup'];
  return kind === 'booted'
    ? 'Setup: VMM started, guest booted'
    : kind === 'plugged'
      ? 'Setup: VMM started, devices plugged'
      : 'Setup: bare machine';
}
