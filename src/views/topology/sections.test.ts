import { describe, expect, it } from 'vitest';
import type { Scene } from '../../engine/machine/index.ts';
import { exampleEvents } from './fixtures/events.ts';
import { exampleScene } from './fixtures/scenes.ts';
import { layoutTopology } from './layout.ts';
import { motionOf } from './motion.ts';
import { stopsOf } from './navigate.ts';
import { foldEvents, foldedAtFirst, foldSections, sectionId, sectionOf, sectionsOf } from './sections.ts';

/** The example with everything above the kernel once for each guest. */
function guests(names: readonly string[]): Scene {
  const objects = exampleScene().objects.flatMap((o) => {
    if (o.band !== 'guest' && o.band !== 'vmm') return [o];
    const scoped = (id: string, n: string): string => (/^(guest|vmm)\./.test(id) ? `${n}.${id}` : id);
    return names.map((n) => ({
      ...o,
      id: scoped(o.id, n),
      section: n,
      refs: o.refs.map((r) => ({ ...r, to: scoped(r.to, n) })),
    }));
  });
  return { objects };
}

describe('sections', () => {
  const scene = guests(['vm0', 'vm1', 'vm2']);

  it('are found with their bands; all but the first are folded, or the first two where there is room', () => {
    const found = sectionsOf([exampleScene(), scene]);
    expect(found).toEqual(['vm0', 'vm1', 'vm2'].map((name) => ({ name, bands: ['guest', 'vmm'] })));
    expect([...foldedAtFirst(found, 470)]).toEqual(['vm1', 'vm2']);
    expect([...foldedAtFirst(found, 700)]).toEqual(['vm2']);
  });

  it('folded, lose no object: each is there or stands behind a box that is', () => {
    const { scene: after, ids } = foldSections(scene, new Set(['vm1', 'vm2']));
    const there = new Set(after.objects.map((o) => o.id));
    expect(there.size).toBe(after.objects.length);
    for (const o of scene.objects) {
      const shown = ids.get(o.id) ?? o.id;
      expect(there.has(shown), o.id).toBe(true);
      expect(sectionOf(shown)).toBe(o.section !== undefined && o.section !== 'vm0' ? o.section : null);
    }
    for (const o of after.objects)
      for (const r of o.refs) {
        expect(r.to).not.toBe(o.id);
        if (scene.objects.some((x) => x.id === r.to)) expect(there.has(r.to)).toBe(true);
      }
    const box = after.objects.find((o) => o.id === sectionId('guest', 'vm1'))!;
    const members = scene.objects.filter((o) => o.band === 'guest' && o.section === 'vm1');
    expect(box.lines).toEqual([`${members.length} objects`]);
    const hardware = foldSections(
      { objects: exampleScene().objects.map((o) => (o.band === 'hardware' ? { ...o, section: 'smmu0' } : o)) },
      new Set(['smmu0']),
    ).scene.objects.find((o) => o.type === 'section')!;
    const rows = exampleScene().objects.flatMap((o) => o.cache?.rows ?? []);
    expect(hardware.lines[1]).toBe(`${rows.length} entries`);
  });

  it('shown, put their name on what stands in the common part', () => {
    const { scene: after } = foldSections(scene, new Set());
    expect(after.objects.find((o) => o.id === 'vm1.guest.cmdq')?.title).toBe('vCMDQ vm1');
    expect(after.objects.length).toBe(scene.objects.length);
    expect(foldSections(exampleScene(), new Set(['vm1'])).scene.objects).toEqual(exampleScene().objects);
  });

  it('give their box the messages of what stands behind it', () => {
    const own = exampleEvents().map((e) => {
      const scoped = (id: string): string => (/^(guest|vmm)\./.test(id) ? `vm1.${id}` : id);
      return { ...e, at: scoped(e.at), ...(e.to === undefined ? {} : { to: scoped(e.to) }) };
    });
    const { scene: after, ids } = foldSections(scene, new Set(['vm1']));
    const events = foldEvents(own, ids);
    const layout = layoutTopology(after, { width: 1300, height: 800 });
    const at = own.findIndex((e) => e.at === 'vm1.vmm.vsmmu');
    expect(events[at]!.at).toBe(sectionId('vmm', 'vm1'));
    for (let i = 0; i < events.length; i++) {
      const target = motionOf(layout, events, i).target;
      if (own[i]!.at.startsWith('vm1.')) expect(target, own[i]!.kind).not.toBeNull();
    }
  });

  it('have switches that touch neither a box nor each other, and that the keyboard reaches', () => {
    for (const [width, height] of [
      [745, 470],
      [844, 590],
      [1200, 800],
    ] as const)
      for (const open of [false, true]) {
        const folded = new Set(['vm1', 'vm2']);
        const sections = sectionsOf([scene]).map((s) => ({ ...s, folded: folded.has(s.name) }));
        const layout = layoutTopology(foldSections(scene, folded).scene, { width, height }, { sections, open });
        expect(layout.chips.map((c) => [c.section, c.folded])).toEqual([
          ['vm0', false],
          ['vm1', true],
          ['vm2', true],
        ]);
        const rects = [...layout.boxes, ...layout.chips];
        for (const c of layout.chips) {
          expect(c.x + c.w).toBeLessThanOrEqual(layout.width);
          for (const r of rects)
            if (r !== c)
              expect(r.x >= c.x + c.w || r.x + r.w <= c.x || r.y >= c.y + c.h || r.y + r.h <= c.y).toBe(true);
          expect(stopsOf(layout).some((s) => s.key === `chip:${c.section}`)).toBe(true);
        }
      }
  });
});
