import type { Place, StepRecord } from '../../store/index.ts';
import { type ColumnsOf, eventSentence, stepSentences } from '../../views/trace/sentence.ts';
import { stepTitle } from '../describe.ts';

export interface Heard {
  readonly place: Place;
  readonly playing: boolean;
}

const stepsName = (step: number, r: StepRecord): string =>
  step === 0 ? 'Setup' : `Step ${step}, ${stepTitle(r.step)}`;

/**
 * What is said when the head has come to `now`: the one event when it was stepped; what the whole step did when it came to
 * rest at the step's end; else where it stands. Nothing while it plays.
 */
export function announcement(
  before: Heard | null,
  now: Heard,
  records: readonly StepRecord[],
  columns?: ColumnsOf,
): string {
  const record = records[now.place.step];
  if (now.playing || !record) return '';
  const { step, event } = now.place;
  const n = record.eventCount;
  const e = record.events[event - 1];
  const stepped =
    before !== null &&
    !before.playing &&
    ((before.place.step === step && Math.abs(before.place.event - event) === 1) ||
      (before.place.step === step - 1 && event === 1 && before.place.event === records[step - 1]?.eventCount));
  if (stepped && e) {
    const back = before.place.step === step && before.place.event > event;
    const head = before.place.step === step ? '' : `${stepsName(step, record)}. `;
    const outcome = event === n && !back ? ` ${end(record)}` : '';
    return `${back ? 'Back to: ' : head}${eventSentence(e, columns)}${outcome}`;
  }
  if (event === n) {
    const hazards = record.hazards.map((h) => `${h.text}.`).join(' ');
    const did = stepSentences(record.events, columns).join(' ');
    return `${stepsName(step, record)}. ${end(record)} ${hazards === '' ? '' : `Stale: ${hazards} `}${did}`.trim();
  }
  const where = event === 0 ? 'before its first event' : `event ${event} of ${n}`;
  return `${stepsName(step, record)}, ${where}. ${e ? eventSentence(e, columns) : ''}`.trim();
}

function end(r: StepRecord): string {
  const { result } = r;
  const text = result.text.trim();
  return `Result${result.ok ? '' : `, ${result.errno ?? result.fault?.name ?? 'failed'}`}: ${text}${/[.!?]$/.test(text) ? '' : '.'}`;
}
