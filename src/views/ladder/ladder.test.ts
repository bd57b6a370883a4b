import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TraceEvent } from '../../engine/trace/index.ts';
import { drawLine } from './draw.ts';
import { lineFaults } from './fixtures/faults.ts';
import { foldAll, groupKey, noFolds, setFold } from './folds.ts';
import { groupEvents } from './groups.ts';
import { headSize, layoutLanes, orderParties } from './lanes.ts';
import { createParties, endsOf } from './parties.ts';
import { Ladder } from './rows.ts';
import { sayEvent } from './say.ts';
import { ladderSvg } from './svg.ts';
import { ladderPlainText, ladderText } from './text.ts';
import type { Folds, LadderNode, LadderRow, LadderStep } from './types.ts';

const parties = createParties([
  { id: 'guest.q', band: 'guest', type: 'CMDQ', title: 'vCMDQ', lines: [], refs: [] },
  { id: 'vmm.v', band: 'vmm', type: 'vSMMU', title: 'vSMMU', lines: [], refs: [] },
  { id: 'kernel.obj.4', band: 'kernel', type: 'VIOMMU', title: 'VIOMMU 4', lines: [], refs: [] },
  { id: 'kernel.driver', band: 'kernel', type: 'driver', title: 'driver', lines: [], refs: [] },
  { id: 'hw.q', band: 'hardware', type: 'CMDQ', title: 'CMDQ', lines: [], refs: [] },
  { id: 'hw.unit', band: 'hardware', type: 'SMMU', title: 'SMMU', lines: [], refs: [] },
  { id: 'hw.device.nic0', band: 'hardware', type: 'device', title: 'nic0', device: 'nic0', lines: [], refs: [] },
]);

const command = (name: string, text: string) => ({ words: [1n], layout: 'x', name, text });
const enter: TraceEvent = {
  kind: 'ioctl.enter',
  actor: 'vmm',
  at: 'vmm.v',
  to: 'kernel.obj.4',
  call: 'IOMMU_HWPT_INVALIDATE',
  fd: 0,
  input: {},
  text: 'IOMMU_HWPT_INVALIDATE viommu 4, 1 entry',
};
const exit: TraceEvent = {
  kind: 'ioctl.exit',
  actor: 'iommufd',
  at: 'kernel.obj.4',
  to: 'vmm.v',
  call: 'IOMMU_HWPT_INVALIDATE',
  errno: '0',
  output: {},
  text: 'IOMMU_HWPT_INVALIDATE ok: entry_num 1',
};
const rewrite: TraceEvent = {
  kind: 'command.rewrite',
  actor: 'driver',
  at: 'kernel.obj.4',
  to: 'hw.q',
  from: command('TLBI_NH_VA', 'TLBI_NH_VA vmid 0 asid 1 va 0x10000'),
  command: command('TLBI_NH_VA', 'TLBI_NH_VA vmid 3 asid 1 va 0x10000'),
  changes: [{ field: 'vmid', from: '0', to: '3' }],
};
const post: TraceEvent = {
  kind: 'command.post',
  actor: 'driver',
  at: 'hw.q',
  queue: 'physical',
  index: 7,
  command: command('TLBI_NH_VA', 'TLBI_NH_VA vmid 3 asid 1 va 0x10000'),
};
const sync: TraceEvent = { kind: 'sync', actor: 'iommu', at: 'hw.q', queue: 'physical', text: 'done' };
const read = (n: number): TraceEvent => ({
  kind: 'memory.read',
  actor: 'iommu',
  at: 'hw.unit',
  address: 0x1000 + 8 * n,
  words: [BigInt(n)],
  layout: 'pte',
  step: { what: n % 3 === 0 ? 'S1' : 'S2', level: n % 4, s1Level: -1 },
  text: `stage ${n % 3 === 0 ? 1 : 2} level ${n % 4}: table`,
});
const trap: TraceEvent = { kind: 'trap', actor: 'vmm', at: 'vmm.v', text: 'write CMDQ_PROD = 0x7' };
const write: TraceEvent = {
  kind: 'register.write',
  actor: 'guest',
  at: 'guest.q',
  to: 'vmm.v',
  iommu: 'virtual',
  reg: 'CMDQ_PROD',
  value: 7n,
};
const dma: TraceEvent = {
  kind: 'dma',
  actor: 'device',
  at: 'hw.device.nic0',
  to: 'hw.unit',
  device: 'nic0',
  access: 'read',
  iova: 0x10000n,
  pasid: 0,
  text: 'read 0x10000',
};

const cost = { exits: 1, ioctls: 1, commands: 2, syncs: 1, removed: 1, stillValid: 0, reads: 3 };
const stepOf = (events: readonly TraceEvent[], more: Partial<LadderStep> = {}): LadderStep => ({
  events,
  eventCount: events.length,
  cost,
  hazards: [],
  result: { text: 'done' },
  failures: [],
  ...more,
});

/** Any order of events, with calls that nest, that overlap steps or that never return. */
const anyEvents = fc
  .array(fc.constantFrom(enter, exit, rewrite, post, sync, trap, write, dma, read(0), read(1), read(2)), {
    maxLength: 60,
  })
  .chain((list) => fc.nat(8).map((n) => (n > 3 ? [...list, ...Array.from({ length: n }, (_, i) => read(i))] : list)));
const anySteps = fc.array(
  anyEvents.chain((e) =>
    fc.nat(2).map((n) =>
      stepOf(e, {
        hazards: Array.from({ length: n }, (_, i) => ({ at: 'hw.unit', text: `entry ${i} is stale`, missing: 'TLBI' })),
      }),
    ),
  ),
  { minLength: 1, maxLength: 5 },
);

function foldable(ladder: Ladder, steps: readonly LadderStep[]): { step: number; node: LadderNode }[] {
  const out: { step: number; node: LadderNode }[] = [];
  const walk = (step: number, nodes: readonly LadderNode[]): void => {
    for (const node of nodes) {
      if (node.kind !== 'event') out.push({ step, node });
      walk(step, node.children);
    }
  };
  for (const [i, s] of steps.entries()) walk(i, ladder.step(s).nodes);
  return out;
}

/** Any choice of what is open. */
const anyFolds = (ladder: Ladder, steps: readonly LadderStep[]): fc.Arbitrary<Folds> => {
  const groups = foldable(ladder, steps);
  return fc
    .record({
      mode: fc.constantFrom('auto' as const, 'open' as const, 'folded' as const),
      steps: fc.array(fc.tuple(fc.nat(steps.length - 1), fc.boolean()), { maxLength: 4 }),
      groups: fc.array(fc.tuple(fc.nat(Math.max(0, groups.length - 1)), fc.boolean()), { maxLength: 8 }),
    })
    .map((c) => {
      let f = foldAll(c.mode);
      for (const [step, open] of c.steps) f = setFold(f, { kind: 'step', step, group: '' }, open);
      for (const [i, open] of c.groups) {
        const g = groups[i];
        if (g) f = setFold(f, { kind: 'run', step: g.step, group: groupKey(g.node) }, open);
      }
      return f;
    });
};

describe('lines', () => {
  it('stand for every event exactly once and in order, whatever is folded', () => {
    fc.assert(
      fc.property(
        anySteps.chain((steps) => {
          const ladder = new Ladder(parties);
          return fc.record({
            steps: fc.constant(steps),
            folds: anyFolds(ladder, steps),
            current: fc.nat(steps.length - 1),
          });
        }),
        ({ steps, folds, current }) => {
          const rows = new Ladder(parties).rows(steps, folds, current);
          const seen: string[] = [];
          for (const r of rows.slice(0, rows.count)) for (let e = r.from; e <= r.to; e++) seen.push(`${r.step}.${e}`);
          expect(seen).toEqual(steps.flatMap((s, i) => s.events.map((_, k) => `${i}.${k + 1}`)));
        },
      ),
    );
  });

  it('in a window are those of the whole, and each event’s line holds it', () => {
    fc.assert(
      fc.property(
        anySteps.chain((steps) =>
          fc.record({ steps: fc.constant(steps), folds: anyFolds(new Ladder(parties), steps) }),
        ),
        fc.nat(40),
        fc.nat(12),
        ({ steps, folds }, from, n) => {
          const rows = new Ladder(parties).rows(steps, folds, 0);
          const all = rows.slice(0, rows.count);
          expect(rows.slice(from, from + n)).toEqual(all.slice(from, from + n));
          for (const [step, s] of steps.entries())
            for (let e = 1; e <= s.eventCount; e++) {
              const r = all[rows.indexOf(step, e)]!;
              expect([r.step, r.from <= e && e <= r.to]).toEqual([step, true]);
            }
        },
      ),
    );
  });

  it('are the same objects while nothing of them changes', () => {
    const steps = [stepOf([write, trap]), stepOf([enter, rewrite, post, exit]), stepOf([dma])];
    const ladder = new Ladder(parties);
    const a = ladder.rows(steps, noFolds, 1);
    const b = ladder.rows([...steps, stepOf([sync])], noFolds, 1);
    for (let i = 0; i < a.count; i++) expect(b.at(i)).toBe(a.at(i));
    expect(a.indexOf(0, 2)).toBe(0);
    expect(a.indexOf(1, 0)).toBe(1);
    expect(a.at(a.indexOf(1, 2))).toMatchObject({ kind: 'event', from: 2, depth: 2, calls: 1 });
    const shut = setFold(noFolds, a.at(2), false);
    expect(ladder.rows(steps, shut, 1).at(2)).toMatchObject({ kind: 'call', open: false, from: 1, to: 4 });
  });
});

describe('groups', () => {
  const shape = (events: readonly TraceEvent[]): unknown => {
    const walk = (nodes: readonly LadderNode[]): unknown[] =>
      nodes.map((n) => (n.kind === 'event' ? n.first : [n.kind, n.first, n.last, ...walk(n.children)]));
    return walk(groupEvents(events, endsOf(events, parties)));
  };
  it('are calls and runs', () => {
    expect(shape([write, enter, rewrite, exit, read(0), read(1), read(2), read(3), dma])).toEqual([
      0,
      ['call', 1, 3, 2, 3],
      ['run', 4, 7, 4, 5, 6, 7],
      8,
    ]);
    expect(shape([read(0), read(1), read(2)])).toEqual([0, 1, 2]);
    expect(shape([enter, enter, exit])).toEqual([0, ['call', 1, 2, 2]]);
    expect(shape([exit, write])).toEqual([0, 1]);
  });
});

describe('who says it to whom', () => {
  const of = (...events: TraceEvent[]): string[] =>
    endsOf(events, parties).map((e) => `${e.from}${e.to === null ? '' : ` ${e.reply ? '<-' : '->'} ${e.to}`}`);
  it('follows from actor, place and target', () => {
    expect(of(write, trap, enter, rewrite, post, sync, exit, dma, read(1))).toEqual([
      'guest -> vmm',
      'vmm',
      'vmm -> iommufd',
      'iommufd -> driver',
      'driver -> iommu',
      'iommu <- driver',
      'iommufd <- vmm',
      'device:nic0 -> iommu',
      'iommu',
    ]);
  });

  it('finds guest and unit of objects that no scene had', () => {
    const several = createParties([
      { id: 'guest.vm0.q', band: 'guest', type: 'q', title: 'q', section: 'vm0', lines: [], refs: [] },
      { id: 'guest.vm1.q', band: 'guest', type: 'q', title: 'q', section: 'vm1', lines: [], refs: [] },
      { id: 'vmm.vm1.v', band: 'vmm', type: 'v', title: 'v', section: 'vm1', lines: [], refs: [] },
    ]);
    expect(several.of('guest.vm1.s1.dma7')).toBe('guest:vm1');
    expect(several.actor('guest', 'guest.vm0.s1.dma7')).toBe('guest:vm0');
    expect(several.of('hw.device.nic9')).toBe('device:nic9');
    expect(several.of('kernel.driver')).toBe('driver');
  });
});

describe('what a line says', () => {
  it('marks what was rewritten in its place', () => {
    expect(sayEvent(rewrite).runs).toEqual([
      { text: '✎ ' },
      { text: 'TLBI_NH_VA vmid ' },
      { text: '0 → 3', changed: true },
      { text: ' asid 1 va 0x10000' },
    ]);
  });
  it('does not mark what a rewrite names but leaves', () => {
    const same = sayEvent({ ...rewrite, changes: [{ field: 'asid', from: '1', to: '1' }] });
    expect(same.runs.some((r) => r.changed)).toBe(false);
  });
});

describe('drawing', () => {
  const long: TraceEvent = { ...trap, text: 'x'.repeat(400) };
  const steps = [
    stepOf([write, long, enter, rewrite, post, sync, exit, read(0), read(1), read(2), read(3), dma], {
      hazards: [{ at: 'hw.device.nic0', text: 'nic0 still maps 0x10000 in its ATC', missing: 'ATC_INV' }],
      result: { text: 'no', errno: 'EBUSY' },
    }),
  ];
  for (const width of [300, 744, 1200, 2000])
    for (const mode of ['open', 'auto', 'folded'] as const)
      it(`has no text on another at ${width} px, ${mode}`, () => {
        const ladder = new Ladder(parties);
        const rows = ladder.rows(steps, foldAll(mode), 0);
        const g = layoutLanes(ladder.present(steps), width);
        for (const r of rows.slice(0, rows.count)) {
          const p = drawLine(ladder, r, steps[0]!, g, 'A title that is long enough to need its room');
          expect(lineFaults(p, g.width), JSON.stringify(r)).toEqual([]);
        }
      });

  it('gives the same numbers for the same input', () => {
    const draw = (): unknown => {
      const ladder = new Ladder(parties);
      const g = layoutLanes(ladder.present(steps), 744);
      const rows = ladder.rows(steps, noFolds, 0);
      return rows.slice(0, rows.count).map((r: LadderRow) => drawLine(ladder, r, steps[0]!, g, 't'));
    };
    expect(draw()).toEqual(draw());
  });

  it('keeps headings apart and leaves out who never speaks', () => {
    for (const width of [300, 600, 744, 1300]) {
      const many = [
        'guest:vm0',
        'guest:vm1',
        'vmm:vm0',
        'vmm:vm1',
        'driver',
        ...Array.from({ length: 64 }, (_, i) => `device:nic${i}`),
      ];
      const g = layoutLanes([...many, 'iommu', 'iommufd'], width);
      expect(new Set(g.laneOf.keys()).size).toBe(71);
      for (const [i, l] of g.lanes.entries()) {
        expect(l.x - l.w / 2).toBeGreaterThanOrEqual(g.left);
        expect(l.title).not.toBe('');
        const next = g.lanes[i + 1];
        if (next) expect(l.x + l.w / 2).toBeLessThan(next.x - next.w / 2);
        expect(l.w).toBeGreaterThan(headSize);
      }
    }
    const ladder = new Ladder(parties);
    expect(orderParties(ladder.present([stepOf([write, enter])]))).toEqual(['guest', 'vmm', 'iommufd']);
  });

  it('stands alone as one SVG, in which no text is markup', () => {
    const evil = stepOf([{ ...trap, text: '<script>alert(1)</script> & "quotes"' }]);
    const svg = ladderSvg({ parties, steps: [...steps, evil], titleOf: () => '<b>', show: [0, 1], width: 744 });
    expect(svg).toMatch(/^<svg xmlns=/);
    expect(svg).not.toContain('<script');
    expect(svg).not.toContain('<b>');
    expect(svg.match(/<g transform/g)).toHaveLength(15);
  });
});

describe('text', () => {
  it('names everyone, keeps calls together and says what is stale', () => {
    const step = stepOf([write, enter, rewrite, exit, dma], {
      hazards: [{ at: 'hw.device.nic0', text: 'nic0 still maps 0x10000', missing: 'ATC_INV' }],
    });
    const text = ladderPlainText(ladderText(new Ladder(parties), step, 'Unmap'));
    expect(text).toBe(
      [
        'Unmap',
        '  1. Guest driver → VMM: write virtual CMDQ_PROD = 0x7',
        '  2. VMM → iommufd: IOMMU_HWPT_INVALIDATE viommu 4, 1 entry',
        '    3. iommufd → Host driver: rewrite TLBI_NH_VA: vmid 0 → 3',
        '    4. iommufd → VMM: IOMMU_HWPT_INVALIDATE returns 0: entry_num 1',
        '  5. nic0 → IOMMU: read 0x10000',
        '  Stale: nic0 still maps 0x10000. Missing: ATC_INV',
        '  Cost: 1 VM exit · 1 ioctl · 2 commands · 1 sync · 3 reads · 1 removed',
      ].join('\n'),
    );
  });
  it('says how much it leaves out', () => {
    const step = stepOf(Array.from({ length: 30 }, () => write));
    const t = ladderText(new Ladder(parties), step, 't', 10);
    expect(t.more).toBe(20);
  });
});
