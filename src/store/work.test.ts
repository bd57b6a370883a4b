import { expect, it } from 'vitest';
import { fakeVendor } from '../engine/document/fixtures/fake-vendor.ts';
import { createEngine } from './session.ts';
import { createAppStore } from './store.ts';

const engine = createEngine(() => fakeVendor);
const checks = await engine.loadChecks();

function documentOf(n: number, title: string) {
  const steps = Array.from({ length: n }, (_, i) => ({
    do: 'device.dma',
    device: 'nic0',
    iova: `0x${(i + 1).toString(16)}000`,
  }));
  const r = checks.parse(
    JSON.stringify({
      format: 'iommuscope/1',
      title,
      platform: { iommu: 'smmuv3' },
      devices: [{ name: 'nic0', rid: '0000:01:00.0' }],
      setup: 'bare',
      steps,
    }),
  );
  if (!r.ok) throw new Error(r.problem.text);
  return r.document;
}

function opened() {
  const app = createAppStore();
  app.setEngine(engine);
  app.openDocument(documentOf(3, 'short'), null);
  return app;
}
type App = ReturnType<typeof opened>;
const title = (app: App): string | undefined => app.store.getState().document?.title;

it('runs a long document little by little, and shows it when all has run', () => {
  const app = opened();
  app.openDocument(documentOf(500, 'long'), null);
  expect(title(app)).toBe('short');
  expect(app.store.getState().work).toMatchObject({ done: 0, total: 501 });
  expect(app.advanceWork(100)).toBe(true);
  expect(app.store.getState().work).toMatchObject({ done: 100, total: 501 });
  expect(title(app)).toBe('short');
  while (app.advanceWork(100));
  expect(app.store.getState().work).toBeNull();
  expect([title(app), app.store.getState().records.length]).toEqual(['long', 501]);
});

it('gives up on demand, and when something else is opened; what is open stays', () => {
  const app = opened();
  app.openDocument(documentOf(500, 'long'), null);
  app.advanceWork(10);
  app.cancelWork();
  expect([app.store.getState().work, app.advanceWork(10), title(app)]).toEqual([null, false, 'short']);
  app.openDocument(documentOf(500, 'long'), null);
  app.openDocument(documentOf(2, 'other'), null);
  expect([app.store.getState().work, title(app)]).toEqual([null, 'other']);
  expect(app.store.getState().records.length).toBe(3);
});

it('adds one step to a long document at once', () => {
  const app = opened();
  app.openDocument(documentOf(500, 'long'), null);
  while (app.advanceWork(1000));
  app.toEnd();
  app.runOperation({ do: 'device.dma', device: 'nic0', iova: '0x9000' } as never, 'DMA');
  expect(app.store.getState().work).toBeNull();
  expect(app.store.getState().records.length).toBe(502);
});
