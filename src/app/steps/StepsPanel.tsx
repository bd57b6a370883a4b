import { useEffect, useRef } from 'react';
import { type State, samePlace, startPlace } from '../../store/index.ts';
import { useApp, useAppStore } from '../context.ts';
import { TourOffer } from '../help/TourPlace.tsx';
import { Icon } from '../Icon.tsx';
import { Markdown } from '../Markdown.tsx';
import { rove } from '../roving.ts';
import { StepItem } from './StepItem.tsx';

/** What the scenario is about, and the one thing to press first. */
function About() {
  const app = useAppStore();
  const title = useApp((s) => s.document?.title ?? '');
  const about = useApp((s) => s.document?.about ?? '');
  const count = useApp((s) => s.document?.steps.length ?? 0);
  const atStart = useApp((s) => !s.playing && samePlace(s.place, startPlace(s.lengths)));
  const body = (
    <>
      {about !== '' && <Markdown text={about} className="text-xs text-ink-2" />}
      {atStart && count > 0 && (
        <button type="button" className="btn btn-primary mt-3 h-9 w-full text-sm" onClick={() => app.play()}>
          <Icon name="play" /> Play {count === 1 ? 'the step' : `all ${count} steps`}
        </button>
      )}
      {atStart && <TourOffer />}
    </>
  );
  if (atStart)
    return (
      <div className="border-b border-line px-4 pt-3 pb-4">
        <h2 className="mb-1 text-base font-semibold">{title}</h2>
        {body}
      </div>
    );
  return (
    <details className="group border-b border-line px-4 py-2.5">
      <summary className="flex cursor-pointer list-none items-center justify-between gap-2 rounded-sm text-xs font-semibold">
        {title}
        <Icon name="chevronDown" className="size-3.5 text-ink-3 group-open:rotate-180" />
      </summary>
      <div className="pt-2">{body}</div>
    </details>
  );
}

/** Scrolls the panel, and nothing else, until the element is seen. */
function keepInView(el: Element | null): void {
  const panel = el?.closest('[role=tabpanel]');
  if (!el || !panel) return;
  const [inner, outer] = [el.getBoundingClientRect(), panel.getBoundingClientRect()];
  if (inner.top < outer.top) panel.scrollTop += inner.top - outer.top - 8;
  else if (inner.bottom > outer.bottom)
    panel.scrollTop += Math.min(inner.bottom - outer.bottom, inner.top - outer.top) + 8;
}

export function StepsPanel() {
  const app = useAppStore();
  const records = useApp((s) => s.records);
  const current = useApp((s) => s.place.step);
  const done = useApp((s: State) => s.place.event >= (s.lengths[s.place.step] ?? 0));
  const open = useApp((s) => s.document !== null);
  const started = useApp((s) => s.started);
  const list = useRef<HTMLOListElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the list scrolls when another step becomes the current one
  useEffect(() => {
    keepInView(list.current?.querySelector('[aria-current=step]') ?? null);
  }, [current, records]);
  if (!open)
    return (
      <p className="p-4 text-ink-2">
        {started ? 'No document is open. Choose a scenario, or open a file.' : 'Starting…'}
      </p>
    );
  return (
    <div>
      <About />
      <ol ref={list} aria-label="Steps" className="space-y-0.5 p-2" onKeyDown={rove}>
        {records.map((record, i) => (
          <StepItem
            // biome-ignore lint/suspicious/noArrayIndexKey: a step is its place in the document
            key={i}
            index={i}
            record={record}
            state={i < current ? 'done' : i > current ? 'pending' : done ? 'at-end' : 'running'}
          />
        ))}
      </ol>
      <div className="px-2 pb-3">
        <button
          type="button"
          className="btn h-9 w-full border-dashed border-line-strong text-ink-2"
          onClick={() => app.setSettings({ panel: 'operations' })}
        >
          <Icon name="plus" className="size-3.5" /> Add an operation
        </button>
      </div>
    </div>
  );
}
