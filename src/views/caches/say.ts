import type { Life, StaleStretch } from '../../engine/analysis/index.ts';
import type { Place } from './model.ts';

/** The life of an entry in words. */

const stepName = (p: Place): string => (p.step === 0 ? 'the setup' : `step ${p.step}`);

/** `in step 3`, `in steps 3 and 5`, `in steps 1, 2 and 7` */
export function stepsText(places: readonly Place[]): string {
  const steps = [...new Set(places.map((p) => p.step))];
  const most = 6;
  const names = steps.slice(0, most).map(String);
  if (steps.length > most) names.push(`${steps.length - most} more`);
  if (steps.length === 1) return `in ${stepName(places[0]!)}`;
  return `in steps ${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

export function filledText(life: Life): string {
  if (!life.filled) return 'there before the trace begins';
  return `filled in ${stepName(life.filled)}${life.by === '' ? '' : ` by ${life.by}`}`;
}

export function removedText(life: Life): string {
  const r = life.removed;
  if (!r) return '';
  return `removed in ${stepName(r.place)}${r.by === '' ? '' : ` by ${r.by}`}${r.valid ? ', though still valid' : ''}`;
}

const staleText = (s: StaleStretch): string =>
  s.to === null ? `stale since ${stepName(s.from)}` : `stale from ${stepName(s.from)} to ${stepName(s.to)}`;

const timesText = (n: number): string => (n === 0 ? 'never hit' : n === 1 ? 'hit once' : `hit ${n} times`);

/** `Filled in step 3 by nic0 read 0x10000; hit once in step 5; stale from step 4 to step 6; removed in step 6 by ATC_INV …` */
export function lifeText(life: Life): string {
  const parts = [
    filledText(life),
    `${timesText(life.hits.length)}${life.hits.length === 0 ? '' : ` ${stepsText(life.hits)}`}`,
    ...life.stale.map(staleText),
    removedText(life) || 'cached to the end',
  ];
  const text = parts.join('; ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}
