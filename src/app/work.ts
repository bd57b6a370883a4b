import type { AppStore } from '../store/index.ts';

/** Milliseconds of one slice: the page answers between two of them. */
const slice = 24;

/** Runs long documents slice by slice, while their sign is shown. */
export function workInSlices(app: AppStore): void {
  let scheduled = false;
  const go = (): void => {
    scheduled = false;
    const end = performance.now() + slice;
    // One step can take long; the sign is renewed once a slice.
    let steps = 1;
    for (;;) {
      const from = performance.now();
      if (!app.advanceWork(steps)) return;
      const now = performance.now();
      if (now >= end) break;
      steps = now - from > slice / 8 ? Math.max(1, steps >> 1) : Math.min(64, steps * 2);
    }
    schedule();
  };
  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    // A task of its own after the next frame, so that the sign is seen to move.
    requestAnimationFrame(() => setTimeout(go));
  };
  app.store.subscribe((s, before) => {
    if (s.work && !before.work) schedule();
  });
}
