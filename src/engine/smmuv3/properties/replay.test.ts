import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Session } from '../../document/index.ts';
import { eventText, eventToJson } from '../../trace/index.ts';
import { type MachineForm, sessionOf } from './random-machine.ts';
import { run } from './random-runs.ts';
import { regressions } from './regressions.ts';

/** Any moment reached from a checkpoint is the moment reached from the start: the trace as text, and the saved state. */

const runs = Number(process.env['IOMMUSCOPE_RUNS'] ?? 6);
const seed = process.env['IOMMUSCOPE_SEED'] ? Number(process.env['IOMMUSCOPE_SEED']) : 1;

/** A saved state as text. Pages of memory that hold nothing are the same as pages that are not there. */
function stateText(s: Session, step: number, event?: number): string {
  const page = (p: unknown): unknown => (p instanceof Int32Array && p.some((w) => w !== 0) ? Array.from(p) : 0);
  const plain = (key: string, v: unknown): unknown => {
    if (typeof v === 'bigint') return `${v}n`;
    if (v instanceof Map) return ['Map', ...v];
    if (v instanceof Set) return ['Set', ...v];
    if (ArrayBuffer.isView(v)) return Array.from(v as unknown as Iterable<number>);
    if (key === 'pages' && Array.isArray(v) && v.some((p) => p instanceof Int32Array)) {
      const pages = v.map(page);
      while (pages.at(-1) === 0) pages.pop();
      return pages;
    }
    return v;
  };
  return JSON.stringify(s.platformAt(step, event).save(), plain);
}

const traceText = (s: Session, step: number): string[] =>
  s.steps[step]!.events.flatMap((e) => [eventText(e), eventToJson(e)]);

function replays(m: MachineForm): void {
  const chunks = run(m, { min: 3, max: 15 });
  const places = fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 3, maxLength: 5 });
  fc.assert(
    fc.property(chunks, places, (list, where) => {
      const steps = list.flat();
      // Two checkpoints and few events: nearly everything has to be run again.
      const s = sessionOf(m, [], { checkpoints: 2, events: 100 });
      s.runAll();
      for (const step of steps) s.append(step);
      for (const [a, b] of where) {
        const step = a % s.steps.length;
        const event = b % (s.steps[step]!.eventCount + 1);
        const fresh = sessionOf(m);
        fresh.runAll();
        for (const x of steps.slice(0, step)) fresh.append(x);
        expect(stateText(s, step)).toBe(stateText(fresh, step));
        expect(stateText(s, step, event)).toBe(stateText(fresh, step, event));
        expect(traceText(s, step)).toEqual(traceText(fresh, step));
      }
    }),
    { numRuns: runs, seed, examples: regressions('replay') as never },
  );
}

describe('replay from a checkpoint equals replay from the start, byte for byte', () => {
  it('of one guest', () => replays({}), 120_000);
  it('of two guests behind two units', () => replays({ guests: ['vm0', 'vm1'], iommus: ['smmu0', 'smmu1'] }), 120_000);
  it(
    'with page faults forwarded and transactions that stall',
    () => replays({ policy: { pageFaults: 'forwarded' }, features: { STALL_MODEL: 0 } }),
    120_000,
  );

  it('the comparison sees a single bit of memory', () => {
    const s = sessionOf({}, [{ do: 'memory.write', space: 'host', at: '0x10000000', u8: [1] }]);
    s.runAll();
    expect(stateText(s, 0)).not.toBe(stateText(s, 1));
  });
});
