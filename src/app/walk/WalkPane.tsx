import { useEffect, useMemo, useState } from 'react';
import { createPortal } from 'react-dom';
import type { TraceEvent } from '../../engine/trace/index.ts';
import type { Selection } from '../../store/index.ts';
import {
  type CellChoice,
  countText,
  requestText,
  type Walk,
  WalkGrid,
  type WalkSelection,
  WalkText,
  walkAt,
  walksOf,
} from '../../views/walk/index.ts';
import { remPixels } from '../bits.ts';
import { useApp, useAppStore } from '../context.ts';
import { NoWalk } from './NoWalk.tsx';

const none: readonly TraceEvent[] = [];

function useSize(): { ref: (el: HTMLElement | null) => void; size: { width: number; height: number } | null } {
  const [el, ref] = useState<HTMLElement | null>(null);
  const [size, setSize] = useState<{ width: number; height: number } | null>(null);
  useEffect(() => {
    if (!el) return;
    const observer = new ResizeObserver(() => setSize({ width: el.clientWidth, height: el.clientHeight }));
    observer.observe(el);
    return () => observer.disconnect();
  }, [el]);
  return { ref, size };
}

/** What of the selection a walk can show. */
function shownOf(s: Selection | null, step: number): WalkSelection | null {
  if (s === null) return null;
  return {
    address: s.record?.space === 'host' ? s.record.address : null,
    event: s.event?.step === step ? s.event.event : null,
    cache: s.row === undefined ? null : { at: s.id, row: s.row },
  };
}

/** Chooses among the walks of the step; the one at the head is shown until a person says otherwise. */
function Choice({
  walks,
  chosen,
  onChoose,
}: {
  walks: readonly Walk[];
  chosen: number;
  onChoose: (k: number) => void;
}) {
  return (
    <select
      aria-label="Which walk of the step"
      className="btn max-w-72 min-w-0 appearance-none"
      value={chosen}
      onChange={(e) => onChoose(Number(e.target.value))}
    >
      {walks.map((w, k) => (
        <option key={w.from} value={k}>
          {k + 1} of {walks.length}: {requestText(w)}
        </option>
      ))}
    </select>
  );
}

/** @param bar place at the right of the tabs for what the view filters and switches */
export function WalkPane({ bar }: { bar: HTMLElement | null }) {
  const app = useAppStore();
  const { ref, size } = useSize();
  const place = useApp((s) => s.place);
  const records = useApp((s) => s.records);
  const selection = useApp((s) => s.selection);
  const asText = useApp((s) => s.settings.asText);
  const events = records[place.step]?.events ?? none;
  const walks = useMemo(() => walksOf(events), [events]);
  const atHead = walkAt(walks, place.event);
  // A choice holds until the head comes to another walk.
  const [choice, setChoice] = useState<{ walks: readonly Walk[]; atHead: number; k: number } | null>(null);
  const holds = choice !== null && choice.walks === walks && choice.atHead === atHead;
  const k = holds ? choice.k : atHead;
  const walk = walks[k];
  const shown = useMemo(() => shownOf(selection, place.step), [selection, place.step]);

  const go = (event: number): void => app.moveTo({ step: place.step, event });
  const choose = (c: CellChoice): void => {
    if (c.event !== null) go(c.event);
    if (c.record) app.select({ id: '', record: { space: 'host', ...c.record } });
    else if (c.saved) app.select({ id: c.saved.at, row: c.saved.row });
    else app.select(null);
  };

  return (
    <>
      {bar &&
        walk &&
        createPortal(
          <div className="flex min-w-0 items-center gap-2">
            {walks.length > 1 && (
              <Choice walks={walks} chosen={k} onChoose={(to) => setChoice({ walks, atHead, k: to })} />
            )}
            <span className="truncate text-2xs text-ink-3 tabular-nums">{countText(walk, place.event)}</span>
          </div>,
          bar,
        )}
      <div ref={ref} className={`scroll-thin min-h-0 flex-1 ${walk && !asText ? 'overflow-hidden' : 'overflow-auto'}`}>
        {!walk ? (
          <NoWalk />
        ) : asText ? (
          <WalkText walk={walk} event={place.event} onGo={go} />
        ) : (
          size &&
          size.width > 0 && (
            <WalkGrid
              key={`${place.step} ${k}`}
              walk={walk}
              event={place.event}
              selection={shown}
              onChoose={choose}
              width={size.width}
              height={size.height}
              scale={remPixels() / 16}
            />
          )
        )}
      </div>
    </>
  );
}
