import { useStore } from 'zustand';
import { late } from '../lazy.tsx';
import { leaveTour, startTour, tour } from './tour-state.ts';

const Tour = late(() => import('./Tour.tsx').then((m) => m.Tour));

/** The tour, while somebody takes it. */
export function TourPlace() {
  const on = useStore(tour, (t) => t.at !== null);
  return on ? <Tour /> : null;
}

/** Offers the tour on a first visit, once, in the way of nothing. */
export function TourOffer() {
  const offered = useStore(tour, (t) => t.offered);
  if (offered) return null;
  return (
    <p className="mt-3 flex flex-wrap items-center gap-x-3 gap-y-1 text-xs text-ink-2">
      <button type="button" className="rounded-sm text-accent-ink underline" onClick={startTour}>
        New here? Take the five-minute tour
      </button>
      <button type="button" className="rounded-sm text-ink-3 underline" onClick={() => leaveTour(true)}>
        No, thanks
      </button>
    </p>
  );
}
