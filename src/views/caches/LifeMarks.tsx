import type { Life } from '../../engine/analysis/index.ts';
import { rowHeight } from './layout.ts';
import type { Place } from './model.ts';
import { lifeText } from './say.ts';
import { lifeLine, type Mark, placeOfClick, type TimeScale, xOf } from './timeline.ts';

const middle = rowHeight / 2;
const words: Readonly<Record<Mark['kind'], string>> = {
  filled: 'filled',
  hit: 'hit',
  removed: 'removed',
  wasted: 'removed, still valid',
};

const cross = (x: number, r: number): string =>
  `M${x - r} ${middle - r}L${x + r} ${middle + r}M${x + r} ${middle - r}L${x - r} ${middle + r}`;

function MarkShape({ mark: { kind, x, place, later } }: { mark: Mark }) {
  const title = (
    <title>
      {place.step === 0 ? 'Setup' : `Step ${place.step}`}, event {place.event}: {words[kind]}
    </title>
  );
  const opacity = later ? 0.5 : 1;
  switch (kind) {
    case 'filled':
      return (
        <path d={`M${x} ${middle - 7}v14`} stroke="var(--filled)" strokeWidth={2.5} fill="none" opacity={opacity}>
          {title}
        </path>
      );
    case 'hit':
      return (
        <circle cx={x} cy={middle} r={3} fill="var(--hit)" stroke="var(--panel)" strokeWidth={1} opacity={opacity}>
          {title}
        </circle>
      );
    case 'removed':
      return (
        <path d={cross(x, 4.5)} stroke="var(--removed)" strokeWidth={2} fill="none" opacity={opacity}>
          {title}
        </path>
      );
    case 'wasted':
      return (
        <g opacity={opacity} stroke="var(--wasted)" fill="none">
          {title}
          <circle cx={x} cy={middle} r={6.5} strokeWidth={1.5} fill="var(--panel)" />
          <path d={cross(x, 3)} strokeWidth={2} />
        </g>
      );
  }
}

interface Props {
  readonly life: Life;
  readonly scale: TimeScale;
  readonly head: Place;
  readonly onGo: (place: Place) => void;
}

/** The life of one entry as a line over the steps. What is yet to come is faint. */
export function LifeMarks({ life, scale, head, onGo }: Props) {
  const { stretches, marks } = lifeLine(life, scale, head);
  const now = xOf(scale, head);
  const bar = (from: number, to: number, later: boolean, key: string, stale: boolean) => {
    if (to <= from) return null;
    const height = stale ? 12 : 4;
    return (
      <rect
        key={key}
        x={stale ? from + 0.75 : from}
        y={middle - height / 2}
        width={Math.max(stale ? 1.5 : 1, to - from - (stale ? 1.5 : 0))}
        height={height}
        rx={stale ? 2 : 1}
        fill={stale ? 'var(--stale-soft)' : 'var(--line-strong)'}
        stroke={stale ? 'var(--stale)' : 'none'}
        strokeWidth={stale ? 1.5 : 0}
        strokeDasharray={stale ? '4 2' : undefined}
        opacity={later ? 0.5 : 1}
      />
    );
  };
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the row has buttons that go to the same events
    <svg
      role="img"
      aria-label={lifeText(life)}
      viewBox={`0 0 ${scale.width} ${rowHeight}`}
      style={{ width: `${scale.width / 16}rem`, height: `${rowHeight / 16}rem` }}
      className="block cursor-pointer overflow-visible"
      onClick={(e) => {
        e.stopPropagation();
        const box = e.currentTarget.getBoundingClientRect();
        onGo(placeOfClick(life, scale, ((e.clientX - box.left) / box.width) * scale.width));
      }}
    >
      <rect width={scale.width} height={rowHeight} fill="transparent" />
      {stretches.map((s, i) => {
        const stale = s.kind === 'stale';
        const key = `${s.kind}${i}`;
        return [
          bar(s.from, Math.min(s.to, now), false, key, stale),
          bar(Math.max(s.from, now), s.to, true, `${key}+`, stale),
        ];
      })}
      {marks.map((m) => (
        <MarkShape key={`${m.kind} ${m.place.step}.${m.place.event}`} mark={m} />
      ))}
    </svg>
  );
}
