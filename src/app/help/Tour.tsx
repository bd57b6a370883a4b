import { useEffect, useRef, useState } from 'react';
import { useStore } from 'zustand';
import { scenarios } from '../../library/index.ts';
import { useApp, useAppStore } from '../context.ts';
import { Markdown } from '../Markdown.tsx';
import { openScenario } from '../start.ts';
import { type Box, placeCard } from './place-card.ts';
import { goInTour, leaveTour, tour } from './tour-state.ts';
import { tourScenario, tourStops } from './tour-steps.ts';

const boxOf = (el: Element): Box => {
  const r = el.getBoundingClientRect();
  return { left: r.left, top: r.top, width: r.width, height: r.height };
};

/** A card beside the real thing that it speaks of, with a frame around that; the page stays usable under it. */
export function Tour() {
  const app = useAppStore();
  const at = Math.min(useStore(tour, (t) => t.at) ?? 0, tourStops.length - 1);
  const stop = tourStops[at]!;
  const done = useApp((s) => stop.done?.(s) ?? false);
  const modal = useApp((s) => s.dialog !== null || s.cut !== null || s.presenting !== null);
  const card = useRef<HTMLDivElement>(null);
  const [target, setTarget] = useState<Box | null>(null);
  const [place, setPlace] = useState<Box | null>(null);

  useEffect(() => {
    // The tour's own scenario, unless somebody goes on with it where he left it.
    if (at === 0 || app.store.getState().document === null) {
      const s = scenarios.find((x) => x.id === tourScenario);
      if (s && app.store.getState().scenario !== tourScenario) void openScenario(app, s);
    }
    tourStops[at]!.before?.(app);
    card.current?.focus();
  }, [app, at]);

  useEffect(() => {
    const measure = (): void => {
      const el = document.querySelector(stop.target);
      const own = card.current;
      if (!el || !own) return;
      const box = boxOf(el);
      setTarget(box);
      setPlace(placeCard(box, own.offsetWidth, own.offsetHeight, window.innerWidth, window.innerHeight));
    };
    measure();
    const observer = new ResizeObserver(measure);
    const el = document.querySelector(stop.target);
    if (el) observer.observe(el);
    if (card.current) observer.observe(card.current);
    window.addEventListener('resize', measure);
    return () => {
      observer.disconnect();
      window.removeEventListener('resize', measure);
    };
  }, [stop]);

  if (modal) return null;
  const last = at === tourStops.length - 1;
  return (
    <>
      {target && (
        <div
          aria-hidden="true"
          style={{ left: target.left, top: target.top, width: target.width, height: target.height }}
          className="pointer-events-none fixed z-20 rounded-md border-2 border-accent"
        />
      )}
      <div
        ref={card}
        role="dialog"
        aria-label={`Tour: ${stop.title}`}
        tabIndex={-1}
        style={{ left: place?.left ?? 10, top: place?.top ?? 10 }}
        className="fixed z-30 w-84 max-w-[92vw] rounded-xl border border-accent bg-panel p-4 shadow-(--shadow)"
        onKeyDown={(e) => {
          if (e.key !== 'Escape') return;
          e.stopPropagation();
          leaveTour(false);
        }}
      >
        <p className="text-2xs text-ink-3 tabular-nums">
          Tour · {at + 1} of {tourStops.length}
        </p>
        <h2 className="mt-0.5 text-base font-semibold">{stop.title}</h2>
        <Markdown text={stop.text} className="mt-1 text-sm text-ink-2" />
        <div className="mt-3 flex flex-wrap items-center gap-2">
          {stop.act && (
            <button type="button" className="btn" onClick={() => stop.act?.run(app)}>
              {stop.act.title}
            </button>
          )}
          {stop.done && <output className="text-xs font-semibold text-filled-ink">{done ? '✓ Done' : ''}</output>}
          <span className="ml-auto flex gap-1.5">
            <button type="button" className="btn border-transparent" onClick={() => leaveTour(last)}>
              Leave
            </button>
            {at > 0 && (
              <button type="button" className="btn" onClick={() => goInTour(at - 1)}>
                Back
              </button>
            )}
            <button
              type="button"
              className="btn btn-primary"
              onClick={() => (last ? leaveTour(true) : goInTour(at + 1))}
            >
              {last ? 'Finish' : 'Next'}
            </button>
          </span>
        </div>
      </div>
    </>
  );
}
