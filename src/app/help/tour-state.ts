import { createStore } from 'zustand/vanilla';

/** Where somebody is in the tour: null outside of it. `offered`: it was taken or declined once, and is not offered again. */
export interface TourState {
  readonly at: number | null;
  readonly left: number;
  readonly offered: boolean;
}

const key = 'iommuscope.tour';

function saved(): TourState {
  try {
    const v: unknown = JSON.parse(localStorage.getItem(key) ?? 'null');
    const left = (v as { readonly left?: unknown } | null)?.left;
    return { at: null, left: Number.isInteger(left) ? Math.max(0, left as number) : 0, offered: v !== null };
  } catch {
    return { at: null, left: 0, offered: false };
  }
}

export const tour = createStore<TourState>(saved);

const keep = (): void => {
  try {
    localStorage.setItem(key, JSON.stringify({ left: tour.getState().left }));
  } catch {
    // Without a storage the tour is offered again next time.
  }
};

/** Begins the tour, or goes on where it was left. */
export function startTour(): void {
  const { left } = tour.getState();
  tour.setState({ at: left, offered: true });
  keep();
}

export function goInTour(at: number): void {
  tour.setState({ at, left: at });
  keep();
}

/** Leaves it; `done`: it begins at its first step next time. */
export function leaveTour(done: boolean): void {
  const { left } = tour.getState();
  tour.setState({ at: null, left: done ? 0 : left, offered: true });
  keep();
}
