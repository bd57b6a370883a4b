import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GuestMemory, Memory, type MemorySnapshot, PageAllocator, ProcessMemory } from './index.ts';

/** Addresses in both directories (below and above 16 GiB), close together at page borders. */
const address = fc
  .tuple(
    fc.constantFrom(0, 0x1000, 0xffff_f000, 0x3_ffff_f000, 0x4_0000_0000, 0x8800_4000_0000),
    fc.nat({ max: 0x2fff }),
  )
  .map(([a, d]) => a + d);

const action = fc.oneof(
  fc.record({
    do: fc.constant('word' as const),
    at: address.map((a) => a - (a % 8)),
    value: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  }),
  fc.record({
    do: fc.constant('word32' as const),
    at: address.map((a) => a - (a % 4)),
    value: fc.nat({ max: 0xffffffff }),
  }),
  fc.record({ do: fc.constant('bytes' as const), at: address, value: fc.uint8Array({ minLength: 1, maxLength: 20 }) }),
  fc.record({ do: fc.constant('save' as const) }),
  fc.record({ do: fc.constant('load' as const), which: fc.nat({ max: 5 }) }),
);

describe('memory against a map of bytes', () => {
  it('reads what was written, and a snapshot gives back what it saw', () => {
    fc.assert(
      fc.property(
        fc.array(action, { maxLength: 60 }),
        fc.array(address, { minLength: 1, maxLength: 10 }),
        (actions, probes) => {
          const memory = new Memory(2 ** 48);
          let plain = new Map<number, number>();
          const saved: { snapshot: MemorySnapshot; plain: Map<number, number> }[] = [];
          const touched = new Set<number>(probes);
          const put = (at: number, bytes: Iterable<number>): void => {
            let k = 0;
            for (const b of bytes) {
              plain.set(at + k, b);
              touched.add(at + k++);
            }
          };
          for (const x of actions) {
            switch (x.do) {
              case 'word':
                memory.writeWord(x.at, x.value);
                put(
                  x.at,
                  Array.from({ length: 8 }, (_, i) => Number((x.value >> BigInt(8 * i)) & 0xffn)),
                );
                break;
              case 'word32':
                memory.write32(x.at, x.value);
                put(
                  x.at,
                  Array.from({ length: 4 }, (_, i) => (x.value >>> (8 * i)) & 0xff),
                );
                break;
              case 'bytes':
                memory.writeBytes(x.at, x.value);
                put(x.at, x.value);
                break;
              case 'save':
                saved.push({ snapshot: memory.save(), plain: new Map(plain) });
                break;
              case 'load': {
                const s = saved[x.which];
                if (!s) break;
                memory.load(s.snapshot);
                plain = new Map(s.plain);
                break;
              }
            }
            for (const at of touched)
              expect(memory.readBytes(at, 1)[0], `0x${at.toString(16)}`).toBe(plain.get(at) ?? 0);
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it('says what lies beyond it', () => {
    const memory = new Memory(0x10000);
    expect([memory.contains(0xfff8), memory.contains(0xfff9), memory.contains(0x10000), memory.contains(-8)]).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });
});

describe('the guest’s window', () => {
  it('goes through pages that no larger stretch holds together', () => {
    const memory = new Memory(2 ** 33);
    const process = new ProcessMemory();
    const guest = new GuestMemory(memory, process);
    process.add({ uva: 0x7f00_0000_0000, size: 2 ** 30, base: 2 ** 32, chunk: 2 ** 21 });
    guest.addSlot({ gpa: 0x4000_0000, size: 2 ** 30, uva: 0x7f00_0000_0000 });
    // Neighbouring pieces of 2 MiB are swapped.
    expect(guest.resolve(0x4000_0123)).toBe(2 ** 32 + 0x20_0123);
    expect(guest.resolve(0x4020_0123)).toBe(2 ** 32 + 0x123);
    guest.writeBytes(0x401f_fffc, new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]));
    expect([...memory.readBytes(2 ** 32 + 0x3f_fffc, 4), ...memory.readBytes(2 ** 32, 4)]).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8,
    ]);
    expect([guest.resolve(0x3fff_ffff), guest.resolve(0x8000_0000)]).toEqual([-1, -1]);
  });
});

describe('the page allocator', () => {
  it('gives aligned stretches that never overlap, and takes them back', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(64, 4096, 8192, 16384, 0x10000, 0x100000), fc.boolean()), { maxLength: 40 }),
        (asks) => {
          const pages = new PageAllocator(0x3000, 0x1000_0000);
          let live: { at: number; size: number }[] = [];
          for (const [size, release] of asks) {
            if (release && live.length > 0) {
              const [first] = live;
              pages.release(first!.at, first!.size);
              live = live.slice(1);
            }
            const at = pages.alloc(size);
            const bytes = Math.ceil(size / 4096) * 4096;
            expect(at % Math.max(bytes, 4096)).toBe(0);
            for (const l of live) expect(at + bytes <= l.at || at >= l.at + Math.ceil(l.size / 4096) * 4096).toBe(true);
            live.push({ at, size });
          }
        },
      ),
    );
  });

  it('hands nothing out twice after a request that was too large', () => {
    const pages = new PageAllocator(0x1000, 0x8000);
    const live = [pages.alloc(4096)];
    expect(() => pages.alloc(0x8000)).toThrow('no free pages: 32768 bytes asked, zone ends at 0x8000');
    expect(() => pages.alloc(0x8000)).toThrow(RangeError);
    for (let n = 0; n < 6; n++) live.push(pages.alloc(4096));
    expect(new Set(live).size).toBe(7);
    expect(() => pages.alloc(4096)).toThrow(RangeError);
  });

  it('takes nothing back that it has not handed out', () => {
    const pages = new PageAllocator(0x1000, 0x5000);
    const page = pages.alloc(4096);
    // As drivers find them in tables that somebody has written over: too far, unaligned, not yet used, freed already.
    for (const at of [9827208170550280000, page + 8, 0x3000, 0]) pages.release(at, 4096);
    pages.release(page, 4096);
    pages.release(page, 4096);
    expect([1, 2, 3, 4].map(() => pages.alloc(4096))).toEqual([0x1000, 0x2000, 0x3000, 0x4000]);
    expect(() => pages.alloc(4096)).toThrow(RangeError);
  });
});
