import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { plugged } from './fixtures/recording-vmm.ts';

/** What the VMM has bound, against a plain account of what the guest wrote and what it invalidated. */

const device = fc.constantFrom('nic0', 'nic1');
const pasid = fc.constantFrom(0, 1, 64);
const did = fc.constantFrom(2, 3);
const kinds = {
  first: (d: number, root: number): bigint[] => [0x49n, BigInt(d), BigInt(root)],
  through: (d: number): bigint[] => [0x109n, BigInt(d), 0n],
  absent: (d: number, root: number): bigint[] => [0x48n, BigInt(d), BigInt(root)],
  zero: (): bigint[] => [0n, 0n, 0n],
  second: (d: number): bigint[] => [0x89n, BigInt(d), 0n],
} as const;
const kind = fc.constantFrom<keyof typeof kinds>(
  'first',
  'first',
  'first',
  'first',
  'through',
  'absent',
  'zero',
  'second',
);
const change = fc.record({ device, pasid, did, kind, root: fc.constantFrom(0x40500000, 0x40600000) });
const step = fc.record({
  changes: fc.array(change, { maxLength: 4 }),
  pc: fc.oneof(
    { weight: 2, arbitrary: fc.constant({ G: 3 }) },
    { weight: 1, arbitrary: fc.record({ G: fc.constant(0), DID: did }) },
    { weight: 1, arbitrary: fc.record({ G: fc.constant(1), DID: did, PASID: pasid }) },
  ),
});

/** A valid, present entry that QEMU binds. */
const taken = (w: readonly bigint[] | undefined): boolean => w !== undefined && (w[0] === 0x49n || w[0] === 0x109n);

describe('bindings', () => {
  it('after a global invalidation are what the guest’s tables say; invalidations reach exactly the HWPTs that match', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), (steps) => {
        const v = plugged({ properties: { pasidBits: 10 } });
        v.boot();
        v.kernel.take();
        const memory = new Map<string, Map<number, bigint[]>>([
          ['nic0', new Map()],
          ['nic1', new Map()],
        ]);
        const unit = v.vmm.units[0]!;
        // Something to change in place.
        const usual = ['nic0', 'nic1'].flatMap((d) =>
          [0, 1].map((p) => ({ device: d, pasid: p, did: 2, kind: 'first' as const, root: 0x40500000 })),
        );
        for (const s of [{ changes: usual, pc: { G: 3 } }, ...steps]) {
          for (const c of s.changes) {
            const words = kinds[c.kind](c.did, c.root);
            v.pasidEntry(c.device, c.pasid, ...words);
            memory.get(c.device)!.set(c.pasid, words);
          }
          v.flush('PC_INV', s.pc);
          if (s.pc.G !== 3) continue;
          for (const [name, entries] of memory) {
            const usable = taken(entries.get(0));
            const expected = [...entries]
              .filter(([, w]) => usable && taken(w))
              .map(([p, w]) => [p, w.join()])
              .sort();
            const bound = unit
              .deviceOf(name)!
              .bindings.map((b) => [b.pasid, b.entry.slice(0, 3).join()])
              .sort();
            expect(bound).toEqual(expected);
          }
        }
        // Every HWPT that the kernel was asked for and has not destroyed is one of a first-stage binding.
        const bindings = unit.state.devices.flatMap((d) => d.bindings);
        const live = bindings.filter((b) => b.hwpt !== 0);
        expect(live.every((b) => b.entry[0] === 0x49n)).toBe(true);
        const seen = v.kernel.take();
        const made = seen.filter((c) => c.startsWith('HWPT_ALLOC')).length;
        const gone = seen.filter((c) => c.startsWith('DESTROY')).length;
        expect(made - gone).toBe(live.length);
        for (const d of [2, 3])
          for (const p of [0, 1, 64]) {
            v.flush('P_IOTLB_INV', { G: 2, DID: d, PASID: p });
            const asked = v.kernel.take().map((c) => Number(/hwpt_id=(\d+)/.exec(c)![1]));
            const meant = live.filter((b) => b.pasid === p && Number(b.entry[1]) === d).map((b) => b.hwpt);
            expect(asked.sort()).toEqual(meant.sort());
          }
      }),
      { numRuns: 30 },
    );
  });
});
