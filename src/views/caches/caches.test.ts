import { describe, expect, it } from 'vitest';
import { TraceIndex } from '../../engine/analysis/index.ts';
import { Session } from '../../engine/document/index.ts';
import { loadVendors } from '../../engine/machine/vendors.ts';
import { scenarios } from '../../library/index.ts';
import { textWidth } from '../topology/measure.ts';
import { arrange, filterEntries, noFilter } from './arrange.ts';
import { blocksIn, columnWidths, layoutFrame, lineAt, lineOfEntry, rowsIn, stack } from './layout.ts';
import { cachesOf, entriesAt, type Place } from './model.ts';
import { cachesPlainText } from './text.ts';
import { placeAt, placeOfClick, xOf } from './timeline.ts';

await loadVendors(['smmuv3', 'vtd']);

async function played(id: string) {
  const s = new Session(await scenarios.find((x) => x.id === id)!.load());
  s.runAll();
  const lives = new TraceIndex(s.steps).lives();
  const caches = cachesOf(s.platformAt(0).scene([]));
  const at = (step: number, event = s.steps[step]!.eventCount): Place => ({ step, event });
  return { s, lives, caches, at, lengths: s.steps.map((r) => r.eventCount) };
}

describe('an unmap without an ATC invalidation', async () => {
  const { lives, caches, at, lengths } = await played('smmuv3-unmap-without-atc-inv');
  const entries = (p: Place) => entriesAt(lives, caches, p);
  const atc = (p: Place) => entries(p).find((e) => e.cache.id === 'hw.device.nic0')!;

  it('knows every entry at every moment', () => {
    expect(entries(at(2))).toEqual([]);
    expect(atc(at(3))).toMatchObject({ state: 'cached', touch: 'filled', hits: 0 });
    expect(atc(at(4))).toMatchObject({ state: 'stale', touch: null });
    expect(atc(at(5))).toMatchObject({ state: 'stale', touch: 'hit', hits: 1 });
    expect(atc(at(6))).toMatchObject({ state: 'removed', touch: 'removed' });
    expect(atc(at(7))).toMatchObject({ state: 'removed', touch: null });
  });

  it('filters by words, cache, device and state', () => {
    const all = entries(at(6));
    const titles = (f: object): string[] => filterEntries(all, { ...noFilter, ...f }).map((e) => e.cache.title);
    expect(titles({ show: 'step' })).toEqual(['ATC of nic0']);
    expect(titles({ show: 'removed' })).toEqual(['IOTLB', 'ATC of nic0']);
    expect(titles({ show: 'stale' })).toEqual([]);
    expect(titles({ cache: 'hw.s2tlb' })).toEqual(['S2 TLB', 'S2 TLB']);
    expect(titles({ device: 'gpu0' })).toEqual([]);
    expect(titles({ show: 'all', text: 'asid 1 va 0x10000 4k' })).toEqual(['IOTLB']);
    expect(titles({ show: 'all', text: 'tlbi_nh_va' })).toEqual(['IOTLB']);
  });

  it('groups by any column and sorts by it', () => {
    const groups = arrange(entries(at(3)), caches, noFilter, 'VMID', {
      key: { by: 'column', column: 'IPA' },
      down: false,
    });
    expect(groups.map((g) => g.title)).toEqual(['VMID 1', 'without VMID']);
    const s2 = groups[0]!.sections.find((s) => s.cache.id === 'hw.s2tlb')!;
    expect(s2.entries.map((e) => e.life.cells[1])).toEqual(['0x4020_0000', '0x5020_0000']);
    expect(s2.counts).toEqual({ cached: 2, stale: 0, removed: 0 });
  });

  it('says the whole life in words', () => {
    const text = cachesPlainText(arrange(entries(at(6)), caches, { ...noFilter, show: 'step' }, null, null));
    expect(text).toContain('ATC of nic0 (0 cached, 1 removed)');
    expect(text).toContain(
      'Filled in step 3 by nic0 read 0x10000; hit once in step 5; stale from step 4 to step 6; removed in step 6 by ATC_INV sid 0x100 va 0x10000 pages 1.',
    );
  });

  it('the time line leads back to the places that it shows', () => {
    const scale = { width: 400, lengths };
    const { life } = atc(at(6));
    expect(placeOfClick(life, scale, xOf(scale, life.filled!) + 1)).toEqual(life.filled);
    for (let x = 0; x < 400; x += 13) expect(Math.abs(xOf(scale, placeAt(scale, x)) - x)).toBeLessThan(26);
  });
});

describe('the layout of every scenario', () => {
  it('has room for its texts; nothing lies over anything else', async () => {
    for (const scenario of scenarios) {
      const { lives, caches, at, s } = await played(scenario.id);
      const groups = arrange(
        entriesAt(lives, caches, at(s.steps.length - 1)),
        caches,
        { ...noFilter, show: 'all' },
        null,
        null,
      );
      const widths = new Map(caches.map((c) => [c.id, columnWidths(c, lives)]));
      const cells = Math.max(...[...widths.values()].map((w) => w.reduce((a, b) => a + b, 0)));
      for (const width of [680, 744, 1024, 1800]) {
        const f = layoutFrame(width, cells, true);
        const parts = [f.state, f.cells, f.hits, f.filled, f.removed!, f.line];
        for (let i = 1; i < parts.length; i++)
          expect(parts[i]!.x).toBeGreaterThanOrEqual(parts[i - 1]!.x + parts[i - 1]!.w);
        expect(f.line.x + f.line.w).toBeLessThanOrEqual(f.width);
      }
      for (const l of lives)
        for (const [i, c] of l.cells.entries()) {
          const w = widths.get(l.at)![i]!;
          if (w < 158) expect(textWidth(c, 'mono', 12), `${l.at} ${c}`).toBeLessThanOrEqual(w - 8);
        }
      const st = stack(groups, new Set());
      let top = 0;
      for (const b of st.blocks) {
        expect(b.top).toBe(top);
        top += b.height;
      }
      expect(st.height).toBe(top);
      for (let n = 0; n < st.lines; n++) {
        const line = lineAt(st, n)!;
        if (line.block.kind !== 'section' || line.row === null) continue;
        const { life } = line.block.section.entries[line.row]!;
        expect(lineOfEntry(st, life.at, life.entry)).toBeGreaterThanOrEqual(n);
      }
      expect(lineAt(st, st.lines)).toBeNull();
    }
  }, 60_000);

  it('draws only what a window shows of 10,000 entries', async () => {
    const { lives, caches, at } = await played('smmuv3-unmap-without-atc-inv');
    const [e] = entriesAt(lives, caches, at(3));
    const entries = Array.from({ length: 10_000 }, (_, i) => ({ ...e!, life: { ...e!.life, entry: i } }));
    const groups = arrange(entries, caches, noFilter, null, null);
    const st = stack(groups, new Set());
    const [block] = blocksIn(st, 120_000, 400);
    if (block?.kind !== 'section') throw new Error('no section');
    const { from, to } = rowsIn(block, 120_000, 400);
    expect(from).toBeLessThanOrEqual(4998);
    expect(to - from).toBeLessThan(40);
  });
});
