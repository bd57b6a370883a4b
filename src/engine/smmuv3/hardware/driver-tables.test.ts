import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PageAllocator } from '../../memory/index.ts';
import { linuxTable, protReadWriteCached, Vmsav8Table, walkParameters } from '../../pagetable/vmsav8-table.ts';
import { GranuleMachine } from './granule-machine.ts';

/**
 * The tables that Linux builds, walked by the hardware with the STE and CD that go with them: each granule, each address
 * size, several runs of pages and blocks, every page of them looked up both ways.
 */
const sizes = [32, 36, 40, 42, 44, 48, 52] as const;
const pages = [4096, 16384, 65536] as const;

/** Some bytes of a run: its ends and what lies between, a prime apart. */
function* probes(from: number, size: number): Generator<number> {
  yield from;
  yield from + size - 1;
  for (let at = from + 0x1357; at < from + size; at += Math.max(Math.floor(size / 7), 1)) yield at;
}

/** Where the hardware comes out, -1 on a fault. */
const arrives = (m: GranuleMachine, iova: number): number => m.access(BigInt(iova)).pa;

describe('the hardware walks what Linux builds', () => {
  for (const stage of [1, 2] as const)
    for (const page of pages)
      for (const oas of sizes)
        it(`stage ${stage}, ${page / 1024} KiB, ${oas} bits`, () => {
          const cfg = linuxTable(stage, { granules: [12, 14, 16], oas, vax: oas === 52 }, page);
          const { tsz, tg, ps, sl0 } = walkParameters(cfg);
          const frames = new PageAllocator(0x8000_0000, 0xc000_0000);
          // The allocator's root goes into STE or CD, so that it is made before the machine writes them.
          const root = frames.alloc(Math.max(65536 * 16, 4096));
          const m = new GranuleMachine({
            features: { OAS: oas, VAX: oas === 52 },
            ...(stage === 2 ? { s2: { granule: 12, start: 1, bits: 32 } as const } : {}),
            ste:
              stage === 2
                ? { Config: 6, S2T0SZ: tsz, S2TG: tg, S2PS: ps, S2SL0: sl0, S2TTB: BigInt(root) }
                : { Config: 5 },
            cd: { EPD0: 0, T0SZ: tsz, TG0: tg, IPS: ps, TTB0: BigInt(root) },
          });
          const table = new Vmsav8Table(m.memory, frames, cfg, root);
          const { pageSizes } = table.geometry;
          const top = 2 ** cfg.inputBits;
          const outTop = 2 ** cfg.outputBits;
          for (const [n, size] of pageSizes.entries()) {
            if (size * 4 > top || size * 4 > outTop) continue;
            // At the very top, and two runs of this size, from where a page of it begins to a page behind its end.
            const runs: readonly (readonly [number, number, number])[] = [
              [top - size, outTop - size, size],
              [size, 2 * size, size + pageSizes[0]!],
            ];
            for (const [iova, oa, bytes] of runs) {
              const it = table.map(iova, oa, bytes, protReadWriteCached);
              let r = it.next();
              while (!r.done) r = it.next();
              expect(r.value, `${n} ${iova.toString(16)}`).toEqual({ errno: '0', mapped: bytes });
              for (const at of probes(iova, bytes)) {
                expect(table.lookup(at)?.oa).toBe(oa + at - iova);
                expect(arrives(m, at), at.toString(16)).toBe(oa + at - iova);
              }
              const gone = table.unmap(iova, bytes);
              while (!gone.next().done);
              for (const c of m.smmu.caches.translation()) c.removeAllBut(-1);
              for (const at of probes(iova, bytes)) expect(arrives(m, at)).toBe(-1);
            }
          }
        });

  it('agrees on any page, whatever is mapped', { timeout: 30_000 }, () => {
    const op = fc.record({
      page: fc.nat(60),
      to: fc.nat(200),
      count: fc.integer({ min: 1, max: 9 }),
      map: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.constantFrom(...pages),
        fc.constantFrom(1, 2),
        fc.array(op, { maxLength: 12 }),
        (page, stage, ops) => {
          const cfg = linuxTable(stage as 1 | 2, { granules: [12, 14, 16], oas: 44 }, page);
          const { tsz, tg, ps, sl0 } = walkParameters(cfg);
          const frames = new PageAllocator(0x8000_0000, 0xc000_0000);
          const root = frames.alloc(65536);
          const m = new GranuleMachine({
            features: { OAS: 44 },
            ...(stage === 2 ? { s2: { granule: 12, start: 1, bits: 32 } as const } : {}),
            ste:
              stage === 2
                ? { Config: 6, S2T0SZ: tsz, S2TG: tg, S2PS: ps, S2SL0: sl0, S2TTB: BigInt(root) }
                : { Config: 5 },
            cd: { EPD0: 0, T0SZ: tsz, TG0: tg, IPS: ps, TTB0: BigInt(root) },
          });
          const table = new Vmsav8Table(m.memory, frames, cfg, root);
          for (const o of ops) {
            const it = o.map
              ? table.map(o.page * page, o.to * page, o.count * page, protReadWriteCached)
              : table.unmap(o.page * page, o.count * page);
            while (!it.next().done);
            for (const c of m.smmu.caches.translation()) c.removeAllBut(-1);
            for (let p = 0; p < 70; p++) expect(arrives(m, p * page + 8)).toBe(table.lookup(p * page + 8)?.oa ?? -1);
          }
        },
      ),
      { numRuns: 40 },
    );
  });
});
