import { expect, idle, test, visit } from './app.ts';

test('frame times while a scenario plays (printed)', async ({ app }) => {
  await app.setViewportSize({ width: 1280, height: 720 });
  await visit(app);
  await app.evaluate(() => {
    const w = window as unknown as { frames: number[]; long: number[]; stop: boolean };
    w.frames = [];
    w.long = [];
    w.stop = false;
    new PerformanceObserver((l) => {
      for (const e of l.getEntries()) w.long.push(e.duration);
    }).observe({ type: 'longtask' });
    let last = performance.now();
    const frame = (now: number): void => {
      w.frames.push(now - last);
      last = now;
      if (!w.stop) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  await app.getByRole('button', { name: /^Play all/ }).click();
  await idle(app);
  const { frames, long } = await app.evaluate(() => {
    const w = window as unknown as { frames: number[]; long: number[]; stop: boolean };
    w.stop = true;
    return { frames: w.frames.slice(1), long: w.long };
  });
  const sorted = [...frames].sort((a, b) => a - b);
  const at = (p: number): string => (sorted[Math.floor(sorted.length * p)] ?? 0).toFixed(1);
  console.log(
    `frames: ${sorted.length}, p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, max ${(sorted.at(-1) ?? 0).toFixed(1)} ms; ` +
      `tasks over 50 ms: ${long.length}${long.length > 0 ? ` (longest ${Math.max(...long).toFixed(0)} ms)` : ''}`,
  );
  expect(sorted.length).toBeGreaterThan(60);
});
