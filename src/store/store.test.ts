import { describe, expect, it } from 'vitest';
import { fakeVendor } from '../engine/document/fixtures/fake-vendor.ts';
import { loadVendors } from '../engine/machine/vendors.ts';
import type { Step } from './engine.ts';
import { isEdited } from './history.ts';
import { endPlace, startPlace } from './place.ts';
import { createEngine } from './session.ts';
import { createAppStore } from './store.ts';

await loadVendors();

const engine = createEngine(() => fakeVendor);
await engine.loadChecks();
const dma = (page: number): Step =>
  ({ do: 'device.dma', device: 'nic0', iova: `0x${page.toString(16)}000` }) as unknown as Step;
const documentText = (steps: readonly Step[], title = 'T'): string =>
  JSON.stringify({
    format: 'iommuscope/1',
    title,
    platform: { iommu: 'smmuv3' },
    devices: [{ name: 'nic0', rid: '0000:01:00.0' }],
    setup: 'bare',
    steps,
  });

function empty() {
  const app = createAppStore();
  app.setEngine(engine);
  return app;
}

function opened(pages: readonly number[] = [1, 2, 3]) {
  const app = empty();
  expect(app.open(documentText(pages.map(dma)), 'T')).toBe(true);
  return app;
}
type App = ReturnType<typeof createAppStore>;
const pagesOf = (app: App): unknown[] =>
  app.store.getState().document!.steps.map((s) => Number((s as unknown as { iova: string }).iova) / 4096);
const run = (app: App, page: number): void => app.runOperation(dma(page), `read ${page}`);

it('loads the checks only when somebody brings something, and then goes on', async () => {
  const late = createEngine(() => fakeVendor);
  const app = createAppStore();
  app.setEngine(late);
  expect(app.openDocument(JSON.parse(documentText([dma(1)])), null)).toBe(true);
  expect(late.checks()).toBeNull();
  app.runOperation(dma(2), 'DMA');
  expect(app.store.getState()).toMatchObject({ loading: 1 });
  await late.loadChecks();
  await Promise.resolve();
  app.answerCut(true);
  expect(app.store.getState().document?.steps.map((x) => x.do)).toContain('device.dma');
  expect(late.checks()).not.toBeNull();
});

describe('the document and its edits', () => {
  it('opens at the start, ready to play', () => {
    const app = opened();
    const s = app.store.getState();
    expect(s.records.length).toBe(4);
    expect(s.place).toEqual(startPlace(s.lengths));
    expect([s.fresh, s.playing, isEdited(s.history)]).toEqual([true, false, false]);
  });

  it('refuses a bad document with the place in it; what was open stays', () => {
    const app = opened();
    const before = app.store.getState();
    expect(
      app.open(documentText([{ do: 'device.dma', device: 'nic0', iova: 'x' } as unknown as Step]), 'bad.json'),
    ).toBe(false);
    const after = app.store.getState();
    expect(after.document).toBe(before.document);
    expect(after.records).toBe(before.records);
    expect(after.notices[0]?.title).toContain('bad.json');
    expect(after.notices[0]?.details[0]).toContain('steps[0].iova');
    expect(app.open('{', 'nonsense')).toBe(false);
    expect(app.store.getState().document).toBe(before.document);
  });

  it('appends an operation at the end and plays it', () => {
    const app = opened();
    app.moveTo(endPlace(app.store.getState().lengths));
    run(app, 9);
    const s = app.store.getState();
    expect(pagesOf(app)).toEqual([1, 2, 3, 9]);
    expect(s.place.step).toBe(4);
    expect(s.playing).toBe(true);
    expect(isEdited(s.history)).toBe(true);
    expect(s.cut).toBeNull();
  });

  it('asks before it cuts; cancelling changes nothing', () => {
    const app = opened();
    app.moveTo({ step: 1, event: 99 });
    run(app, 9);
    expect(app.store.getState().cut).toMatchObject({ lost: 2 });
    expect(pagesOf(app)).toEqual([1, 2, 3]);
    app.answerCut(false);
    expect(app.store.getState().cut).toBeNull();
    expect(pagesOf(app)).toEqual([1, 2, 3]);
    run(app, 9);
    app.answerCut(true);
    expect(pagesOf(app)).toEqual([1, 9]);
  });

  it('undo brings back what was cut, with the place; redo cuts again', () => {
    const app = opened();
    app.moveTo({ step: 1, event: 99 });
    const left = app.store.getState().place;
    run(app, 9);
    app.answerCut(true);
    app.undo();
    expect(pagesOf(app)).toEqual([1, 2, 3]);
    expect(app.store.getState().records.length).toBe(4);
    expect(app.store.getState().place).toEqual(left);
    expect(isEdited(app.store.getState().history)).toBe(false);
    app.redo();
    expect(pagesOf(app)).toEqual([1, 9]);
  });

  it('undo crosses the opening of another document', () => {
    const app = opened();
    app.open(documentText([dma(7)], 'Other'), 'Other');
    expect(pagesOf(app)).toEqual([7]);
    app.undo();
    expect(pagesOf(app)).toEqual([1, 2, 3]);
    expect(app.store.getState().document?.title).toBe('T');
  });

  it('refuses a step that does not fit the document', () => {
    const app = opened();
    app.toEnd();
    app.runOperation({ do: 'device.dma', device: 'ghost', iova: '0x1000' } as unknown as Step, 'read');
    expect(pagesOf(app)).toEqual([1, 2, 3]);
    expect(app.store.getState().notices[0]?.details[0]).toContain('device');
  });

  it('gives the same records, whichever way a document was reached', () => {
    const app = opened();
    const plain = (a: App) =>
      a.store.getState().records.map((r) => [r.result.text, r.eventCount, r.hazards.length, r.cost]);
    const before = plain(app);
    app.moveTo({ step: 1, event: 99 });
    run(app, 9);
    app.answerCut(true);
    app.undo();
    expect(plain(app)).toEqual(before);
  });
});

describe('the playing head', () => {
  const tickUntil = (app: App, ms: number, most = 2000): number => {
    let n = 0;
    while (app.store.getState().playing && n++ < most) app.tick(ms);
    return n;
  };

  it('plays to the end and stops there', () => {
    const app = opened();
    app.play();
    tickUntil(app, 16);
    const s = app.store.getState();
    expect(s.playing).toBe(false);
    expect(s.place).toEqual(endPlace(s.lengths));
  });

  it('plays one step again and only that', () => {
    const app = opened();
    app.moveTo({ step: 2, event: 99 });
    const end = app.store.getState().place;
    app.replayStep();
    expect(app.store.getState().place).toEqual({ step: 2, event: 0 });
    tickUntil(app, 16);
    expect(app.store.getState().place).toEqual(end);
  });

  it('goes round when it loops', () => {
    const app = opened();
    app.setSettings({ loop: true });
    app.play();
    for (let i = 0; i < 3000; i++) app.tick(16);
    expect(app.store.getState().playing).toBe(true);
  });

  it('lets a single event fly and come to rest', () => {
    const app = opened();
    app.stepEvent(1, true);
    expect(app.head.getState()).toEqual({ progress: 0, flying: true });
    for (let i = 0; i < 60; i++) app.tick(16);
    expect(app.head.getState()).toEqual({ progress: 1, flying: false });
  });
});

describe('the machine', () => {
  it('is changed as an edit: the steps run again, the head stays, undo brings the old one back', () => {
    const app = opened();
    app.moveTo({ step: 2, event: 1 });
    const before = app.store.getState();
    app.changeMachine({ platform: { ...before.document!.platform, memory: '1GiB' } }, 'Change the memory');
    const after = app.store.getState();
    expect(after.document?.platform.memory).toBe('1GiB');
    expect([after.place, after.records.length, isEdited(after.history)]).toEqual([before.place, 4, true]);
    expect(after.records[2]).not.toBe(before.records[2]);
    app.undo();
    expect(app.store.getState().document).toBe(before.document);
  });

  it('that cannot be is refused with the place; the old one stays', () => {
    const app = opened();
    const before = app.store.getState();
    app.changeMachine({ platform: { ...before.document!.platform, deviations: ['no-such-rule'] } }, 'Break a rule');
    const after = app.store.getState();
    expect(after.document).toBe(before.document);
    expect(after.notices[0]?.details[0]).toContain('platform.deviations[0]');
  });
});
