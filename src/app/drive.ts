import type { AppStore } from '../store/index.ts';

/** A frame that took longer than this counts as this long: after a pause of the browser nothing is jumped over. */
const longest = 100;

/** Moves the playing head, frame by frame, while it plays or an event flies. React hears of it only through the store. */
export function drive(app: AppStore): void {
  let running = false;
  let last = 0;
  const moving = (): boolean => app.store.getState().playing || app.head.getState().flying;
  const frame = (now: number): void => {
    app.tick(Math.min(longest, Math.max(0, now - last)));
    last = now;
    if (moving()) requestAnimationFrame(frame);
    else running = false;
  };
  const wake = (): void => {
    if (running || !moving()) return;
    running = true;
    last = performance.now();
    requestAnimationFrame(frame);
  };
  app.store.subscribe(wake);
  app.head.subscribe(wake);
}
