import fc from 'fast-check';
import { expect } from 'vitest';
import type { Session } from '../document/index.ts';
import { eventText, eventToJson } from '../trace/index.ts';
import { type Kind, type MachineForm, sessionOf } from './random-machine.ts';
import { run } from './random-runs.ts';

const runs = Number(process.env['IOMMUSCOPE_RUNS'] ?? 6);
const seed = process.env['IOMMUSCOPE_SEED'] ? Number(process.env['IOMMUSCOPE_SEED']) : 1;

/** A saved state as text. Pages of memory that hold nothing are the same as pages that are not there. */
export function stateText(s: Session, step: number, event?: number): string {
  const page = (p: unknown): unknown => (p instanceof Int32Array && p.some((w) => w !== 0) ? Array.from(p) : 0);
  const plain = (key: string, v: unknown): unknown => {
    if (typeof v === 'bigint') return `${v}n`;
    if (v instanceof Map) return ['Map', ...v];
    if (v instanceof Set) return ['Set', ...v];
    if (ArrayBuffer.isView(v)) return Array.from(v as unknown as Iterable<number>);
    if (key === 'pages' && Array.isArray(v) && v.every((p) => p === undefined || p instanceof Int32Array)) {
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

/** Any moment reached from a checkpoint is the moment reached from the start: the trace as text, and the saved state. */
export function replays(k: Kind, m: MachineForm): void {
  const chunks = run(k, m, { min: 3, max: 15 });
  const places = fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 3, maxLength: 5 });
  fc.assert(
    fc.property(chunks, places, (list, where) => {
      const steps = list.flat();
      // Two checkpoints and few events: nearly everything has to be run again.
      const s = sessionOf(k, m, [], { checkpoints: 2, events: 100 });
      s.runAll();
      for (const step of steps) s.append(step);
      for (const [a, b] of where) {
        const step = a % s.steps.length;
        const event = b % (s.steps[step]!.eventCount + 1);
        const fresh = sessionOf(k, m);
        fresh.runAll();
        for (const x of steps.slice(0, step)) fresh.append(x);
        expect(stateText(s, step)).toBe(stateText(fresh, step));
        expect(stateText(s, step, event)).toBe(stateText(fresh, step, event));
        expect(traceText(s, step)).toEqual(traceText(fresh, step));
      }
    }),
    { numRuns: runs, seed, examples: k.regressions.replay as never },
  );
}
