import { describe, expect, it } from 'vitest';
import type { TraceEvent } from '../../engine/trace/index.ts';
import { activeDevices, goneObjects, rowMarks } from './fates.ts';
import { exampleScene } from './fixtures/scenes.ts';
import { withHazards } from './stale.ts';

const entry = (id: number) => ({ cache: 'IOTLB', id, cells: ['3', '1', '0x1000', '0x2000'] });
const on = { actor: 'iommu' as const, at: 'hw.iotlb' };
const fill = (id: number): TraceEvent => ({ ...on, kind: 'cache.fill', entry: entry(id) });
const hit = (id: number): TraceEvent => ({ ...on, kind: 'cache.hit', entry: entry(id) });
const remove = (id: number, valid = false): TraceEvent => ({
  ...on,
  kind: 'cache.remove',
  entry: entry(id),
  valid,
  by: 'TLBI',
});

describe('rowMarks', () => {
  it('knows only the events that have happened', () => {
    const events = [fill(1), remove(1)];
    expect(rowMarks(events, -1).size).toBe(0);
    expect(rowMarks(events, 0).get('hw.iotlb')).toMatchObject({ ghosts: [], recent: [1] });
    expect(rowMarks(events, 0).get('hw.iotlb')!.fates.get(1)).toBe('filled');
  });

  it('keeps removed rows as ghosts, needed or still valid, until one is filled again', () => {
    const m = rowMarks([remove(1), remove(2, true), fill(1)], 1).get('hw.iotlb')!;
    expect([...m.fates]).toEqual([
      [1, 'removed'],
      [2, 'wasted'],
    ]);
    expect(m.ghosts.map((g) => g.id)).toEqual([1, 2]);
    const later = rowMarks([remove(1), remove(2, true), fill(1)], 2).get('hw.iotlb')!;
    expect(later.ghosts.map((g) => g.id)).toEqual([2]);
    expect(later.fates.get(1)).toBe('filled');
  });

  it('shows a hit while it happens, and a new row as new afterwards', () => {
    const events = [fill(1), hit(1), hit(2)];
    expect(rowMarks(events, 1).get('hw.iotlb')!.fates.get(1)).toBe('hit');
    const end = rowMarks(events, 2).get('hw.iotlb')!;
    expect([end.fates.get(1), end.fates.get(2)]).toEqual(['filled', 'hit']);
    expect(end.recent).toEqual([2, 1]);
  });
});

describe('objects and devices of a step', () => {
  it('finds what the step has destroyed', () => {
    const before = exampleScene();
    const now = { objects: before.objects.filter((o) => o.id !== 'kernel.obj.12') };
    expect(goneObjects(before, now).map((o) => o.id)).toEqual(['kernel.obj.12']);
    expect(goneObjects(null, now)).toEqual([]);
    expect(goneObjects(before, before)).toEqual([]);
  });

  it('finds the devices that its events touch', () => {
    const scene = exampleScene({ devices: ['a', 'b', 'c'] });
    const events: TraceEvent[] = [
      {
        kind: 'table.write',
        actor: 'guest',
        at: 'guest.ste.0x10',
        space: 'guest',
        address: 0,
        words: [0n],
        layout: 'x',
        text: '',
      },
      { kind: 'attach', actor: 'iommufd', at: 'kernel.driver', device: 'c', hwpt: 1, text: '' },
    ];
    expect(activeDevices(scene, events)).toEqual(['b', 'c']);
  });
});

describe('withHazards', () => {
  it('marks the rows that a hazard names, and leaves a scene without any as it is', () => {
    const scene = exampleScene();
    expect(withHazards(scene, [])).toBe(scene);
    const hazard = {
      at: 'hw.iotlb',
      cache: 'IOTLB',
      entry: 101,
      cells: [],
      text: '',
      now: '',
      missing: '',
      depends: [],
    };
    const marked = withHazards(scene, [hazard]);
    const rows = marked.objects.find((o) => o.id === 'hw.iotlb')!.cache!.rows;
    expect(rows.filter((r) => r.stale).map((r) => r.id)).toEqual([101]);
    expect(marked.objects.find((o) => o.id === 'hw.cmdq')).toBe(scene.objects.find((o) => o.id === 'hw.cmdq'));
  });
});
