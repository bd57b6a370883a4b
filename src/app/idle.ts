import type { AppStore } from '../store/index.ts';

let pending = 0;
const waiting = new Set<() => void>();
const changed = (): void => {
  for (const f of waiting) f();
};

/** Something that the page waits for: a part that is loaded late, a file that is read. */
export function busy<T>(work: Promise<T>): Promise<T> {
  pending++;
  changed();
  return work.finally(() => {
    pending--;
    changed();
  });
}

const moves = (): boolean =>
  document.getAnimations().some((a) => {
    if (a.playState !== 'running') return false;
    return Number.isFinite(Number(a.effect?.getComputedTiming().endTime));
  });

/**
 * Says on the document element whether the page is at rest (`data-idle`): nothing plays, flies, loads or fades. Tests and
 * scripts that take pictures wait for it.
 */
export function watchIdle(app: AppStore): void {
  const root = document.documentElement;
  let scheduled = false;
  const resting = (): boolean =>
    pending === 0 &&
    app.store.getState().loading === 0 &&
    app.store.getState().work === null &&
    !app.store.getState().playing &&
    !app.head.getState().flying;
  const settle = (): void => {
    scheduled = false;
    if (!resting()) return;
    if (moves()) schedule();
    else root.dataset.idle = 'true';
  };
  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    // Two frames: React has drawn, and what it drew has begun to move.
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(settle)));
  };
  const wake = (): void => {
    if (root.dataset.idle !== 'false') root.dataset.idle = 'false';
    if (resting()) schedule();
  };
  app.store.subscribe(wake);
  app.head.subscribe(wake);
  waiting.add(wake);
  wake();
}
