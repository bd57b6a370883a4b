import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Step } from '../../document/index.ts';
import type { Platform } from '../../machine/index.ts';
import { type Difference, differences } from './brute-force.ts';
import { devicesOf, type MachineForm, sessionOf, unitsOf } from './random-machine.ts';
import { run } from './random-runs.ts';
import { chunk } from './random-steps.ts';
import { regressions } from './regressions.ts';

/** Two guests on one SMMU: nothing that one does is seen by the other. */

const runs = Number(process.env['IOMMUSCOPE_RUNS'] ?? 6);
const seed = process.env['IOMMUSCOPE_SEED'] ? Number(process.env['IOMMUSCOPE_SEED']) : 1;
const machine: MachineForm = { guests: ['vm0', 'vm1'] };

/** StreamIDs and VMIDs of a guest's devices, from the STEs in memory. */
interface Owned {
  readonly sids: ReadonlySet<bigint>;
  readonly vmids: ReadonlySet<bigint>;
  readonly names: ReadonlySet<string>;
}

function owned(platform: Platform, guest: string): Owned {
  const names = new Set(devicesOf(machine).flatMap((d) => (d.guest === guest ? [d.name] : [])));
  const [unit] = unitsOf(platform);
  const sids = new Set(unit!.devices.flatMap((d) => (names.has(d.name) ? [BigInt(d.rid)] : [])));
  const vmids = new Set(
    platform
      .cached()
      .flatMap((e) => (e.cache === 'STE' && sids.has(e.fields['sid'] as bigint) ? [e.fields['vmid'] as bigint] : [])),
  );
  return { sids, vmids, names };
}

/** All that is cached for a guest, as texts. VMID 0 belongs to nobody. */
function entriesOf(platform: Platform, o: Owned, vmids: ReadonlySet<bigint>): string[] {
  const text = (v: unknown): string => JSON.stringify(v, (_, x) => (typeof x === 'bigint' ? x.toString() : x));
  return platform
    .cached()
    .filter(({ fields }) => {
      if ('device' in fields) return o.names.has(fields['device'] as string);
      if ('sid' in fields) return o.sids.has(fields['sid'] as bigint);
      return 'vmid' in fields && vmids.has(fields['vmid'] as bigint) && fields['vmid'] !== 0n;
    })
    .map(text)
    .sort();
}

/** Steps of one guest alone. */
const isOf =
  (guest: string) =>
  (c: readonly Step[]): boolean =>
    c.every((s) => {
      const x = s as unknown as { guest?: string; device?: string };
      return x.guest === guest || x.device?.startsWith(`${guest}.`);
    });

/** Both guests work; then one does something, and what the other has cached must be the same as before. */
function isolated(
  m: MachineForm,
  before: readonly (readonly Step[])[],
  after: readonly (readonly Step[])[],
  victim: string,
): string[] {
  const s = sessionOf(m);
  s.runAll();
  for (const c of before) for (const step of c) expect(s.append(step).crash).toBe(undefined);
  const harm: string[] = [];
  for (const c of after) {
    const at = s.steps.length - 1;
    const p = s.platformAt(at);
    const o = owned(p, victim);
    const was = entriesOf(p, o, o.vmids);
    for (const step of c) expect(s.append(step).crash).toBe(undefined);
    const q = s.platformAt(s.steps.length - 1);
    const is = entriesOf(q, o, o.vmids);
    const gone = was.filter((x) => !is.includes(x));
    const come = is.filter((x) => !was.includes(x));
    const what = JSON.stringify(c);
    harm.push(...gone.map((x) => `${what} removes ${x}`), ...come.map((x) => `${what} fills ${x}`));
    const wrong: Difference[] = unitsOf(q).flatMap((u) => differences(u));
    harm.push(
      ...wrong
        .filter((d) => o.names.has(d.device))
        .map((d) => `${what} makes ${d.device} see ${d.cached} for ${d.plain}`),
    );
  }
  return harm;
}

const both = run(machine, { min: 5, max: 12 });
const one = fc.array(chunk(machine), { minLength: 20, maxLength: 40 }).map((list) => list.filter(isOf('vm0')));

/** Commands that a guest might send to hurt: everything that can be forwarded, with any VMID, ASID and StreamID. */
const attack = fc.array(
  fc
    .tuple(
      fc.constantFrom(0x10, 0x11, 0x12, 0x13, 0x30, 0x40, 0x05, 0x06, 0x03, 0x04, 0x28, 0x2a, 0x20),
      fc.constantFrom(0, 1, 2, 3),
      fc.constantFrom(0, 1, 2),
      fc.constantFrom(0x8n, 0x10n, 0x100n, 0x101n, 0x200n, 0x201n),
      fc.constantFrom(0n, 1n, 0x10000n, 0x10001n, 0x34n, 0x1fn),
    )
    .map(([op, vmid, asid, sid, w1]) => {
      const w0 =
        op < 0x10 || op === 0x40
          ? BigInt(op) | (sid << 32n)
          : BigInt(op) | (BigInt(vmid) << 32n) | (BigInt(asid) << 48n);
      const hex = [w0, w1]
        .flatMap((w) =>
          Array.from({ length: 8 }, (_, i) =>
            Number((w >> BigInt(8 * i)) & 0xffn)
              .toString(16)
              .padStart(2, '0'),
          ),
        )
        .join('');
      return [{ do: 'guest.invalidate', guest: 'vm0', bytes: hex } as unknown as Step];
    }),
  { minLength: 5, maxLength: 15 },
);

describe('two guests', () => {
  it('what one does removes, fills and reads nothing of the other', () => {
    fc.assert(
      fc.property(both, one, (before, after) => {
        expect(isolated(machine, before, after, 'vm1')).toEqual([]);
      }),
      { numRuns: runs, seed, examples: regressions('guests') as never },
    );
  }, 120_000);

  it('no command of one reaches the other', () => {
    fc.assert(
      fc.property(both, attack, (before, after) => {
        expect(isolated(machine, before, after, 'vm1')).toEqual([]);
      }),
      { numRuns: runs, seed },
    );
  }, 120_000);

  it('a driver that forwards NSNH_ALL as it is takes everybody’s entries away', () => {
    const m = { ...machine, deviations: ['host.nsnh-all-as-is'] };
    const [before] = fc.sample(run(machine, { min: 0, max: 0 }), { numRuns: 1, seed });
    const nsnh = [{ do: 'guest.invalidate', guest: 'vm0', command: { name: 'TLBI_NSNH_ALL' } } as unknown as Step];
    const harm = isolated(m, before!, [nsnh], 'vm1');
    expect(harm.some((h) => h.includes('removes') && h.includes('IOTLB'))).toBe(true);
    expect(isolated(machine, before!, [nsnh], 'vm1')).toEqual([]);
  });
});
