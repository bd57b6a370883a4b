import fc from 'fast-check';
import { expect } from 'vitest';
import { wordsToBytes } from '../bits/index.ts';
import type { Step } from '../document/index.ts';
import type { Platform } from '../machine/index.ts';
import { addressesOf, devicesOf, type Kind, type MachineForm, sessionOf } from './random-machine.ts';
import { run } from './random-runs.ts';
import { type Chunk, chunk } from './random-steps.ts';

/** Two guests behind one unit: nothing that one does is seen by the other. */

type Entry = ReturnType<Platform['cached']>[number];

const runs = Number(process.env['IOMMUSCOPE_RUNS'] ?? 6);
const seed = process.env['IOMMUSCOPE_SEED'] ? Number(process.env['IOMMUSCOPE_SEED']) : 1;
export const twoGuests: MachineForm = { guests: ['vm0', 'vm1'] };

/** Tells whether an entry belongs to a guest, given the names of its devices. */
export type Belongs = (platform: Platform, names: ReadonlySet<string>) => (e: Entry) => boolean;

/** All that is cached for a guest, as texts. */
function entriesOf(platform: Platform, belongs: (e: Entry) => boolean): string[] {
  const text = (v: unknown): string => JSON.stringify(v, (_, x) => (typeof x === 'bigint' ? x.toString() : x));
  return platform.cached().filter(belongs).map(text).sort();
}

/** Steps of one guest alone. */
const isOf =
  (guest: string) =>
  (c: Chunk): boolean =>
    c.every((s) => {
      const x = s as unknown as { guest?: string; device?: string };
      return x.guest === guest || x.device?.startsWith(`${guest}.`);
    });

/**
 * Both guests work; then one does something, and what the other has cached must be the same as before.
 * @returns what was not
 */
export function harm(
  k: Kind,
  m: MachineForm,
  belongs: Belongs,
  before: readonly Chunk[],
  after: readonly Chunk[],
  victim = 'vm1',
): string[] {
  const names = new Set(devicesOf(m).flatMap((d) => (d.guest === victim ? [d.name] : [])));
  const s = sessionOf(k, m);
  s.runAll();
  for (const c of before) for (const step of c) expect(s.append(step).crash).toBe(undefined);
  const out: string[] = [];
  for (const c of after) {
    const p = s.platformAt(s.steps.length - 1);
    const its = belongs(p, names);
    const was = entriesOf(p, its);
    for (const step of c) expect(s.append(step).crash).toBe(undefined);
    const q = s.platformAt(s.steps.length - 1);
    const is = entriesOf(q, its);
    const gone = was.filter((x) => !is.includes(x));
    const come = is.filter((x) => !was.includes(x));
    const what = JSON.stringify(c);
    out.push(...gone.map((x) => `${what} removes ${x}`), ...come.map((x) => `${what} fills ${x}`));
    out.push(
      ...k
        .differences(q, addressesOf(m))
        .filter((d) => names.has(d.device))
        .map((d) => `${what} makes ${d.device} see ${d.cached} for ${d.plain}`),
    );
  }
  return out;
}

/** What both guests do to begin with. */
const both = (k: Kind): fc.Arbitrary<Chunk[]> => run(k, twoGuests, { min: 5, max: 12 });

/** Only that much: the attachments and some pages in use. */
export const atWork = (k: Kind): Chunk[] => fc.sample(run(k, twoGuests, { min: 0, max: 0 }), { numRuns: 1, seed })[0]!;

/** Whatever a guest's drivers do. */
export function apart(k: Kind, belongs: Belongs): void {
  const one = fc.array(chunk(k, twoGuests), { minLength: 20, maxLength: 40 }).map((list) => list.filter(isOf('vm0')));
  fc.assert(
    fc.property(both(k), one, (before, after) => {
      expect(harm(k, twoGuests, belongs, before, after)).toEqual([]);
    }),
    { numRuns: runs, seed, examples: k.regressions.guests as never },
  );
}

/** Whatever a guest writes into its queue. */
export function unharmedBy(k: Kind, belongs: Belongs, command: fc.Arbitrary<readonly bigint[]>): void {
  const attack = fc.array(
    command.map((words) => [
      {
        do: 'guest.invalidate',
        guest: 'vm0',
        bytes: Buffer.from(wordsToBytes(words)).toString('hex'),
      } as unknown as Step,
    ]),
    { minLength: 5, maxLength: 15 },
  );
  fc.assert(
    fc.property(both(k), attack, (before, after) => {
      expect(harm(k, twoGuests, belongs, before, after)).toEqual([]);
    }),
    { numRuns: runs, seed },
  );
}
