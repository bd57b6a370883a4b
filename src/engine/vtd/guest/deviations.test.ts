import { describe, expect, it } from 'vitest';
import { guestDeviations, guestRulesWith } from './deviations.ts';
import { attached, nic } from './recording-unit.ts';

const KiB4 = 4096;
const MiB2 = 2 ** 21;
const VA = 0x7f0012340000;
const GPA = 0x41000000;
const quiet = { devices: [{ ...nic, atsCapable: false, priCapable: false }] };
const P_IOTLB = '0000000000020036';

/** What one run sends with the kernel's rules and with the deviation. */
function both<T>(name: string, run: (deviations: string[]) => T): [right: T, wrong: T] {
  return [run([]), run([name])];
}

it('every name is there once, begins with guest. and has a story', () => {
  const names = guestDeviations.map((d) => d.name);
  expect(new Set(names).size).toBe(names.length);
  for (const d of guestDeviations) {
    expect(d.name).toMatch(/^guest\.[a-z0-9-]+$/);
    expect(d.about).toMatch(/^[A-Z].*[.)]$/s);
  }
  expect(() => guestRulesWith(['guest.nothing'])).toThrow('no deviation is named guest.nothing');
  expect(guestRulesWith(['host.anything', 'vmm.else'])).toEqual(guestRulesWith([]));
});

describe('unmap and flush queue', () => {
  const unmapped = (flush: 'strict' | 'queued', drained: boolean) => (deviations: string[]) => {
    const g = attached({ ...quiet, deviations });
    g.ok(g.driver.map({ domain: 'd0', iova: 0x40000000, gpa: GPA + KiB4, size: MiB2 }));
    const table = Number(g.memory.readWord(tableAt(g, 0x40000000, 2)) & 0xffffffffff000n);
    const sent = g.sent(g.driver.unmap({ domain: 'd0', iova: 0x40000000, size: MiB2, flush }));
    const kept = g.pages.has(table);
    if (drained) sent.push(...g.sent(g.driver.flush()));
    return { sent, kept };
  };

  it('guest.unmap-no-flush', () => {
    expect(both('guest.unmap-no-flush', unmapped('strict', false))).toEqual([
      { sent: [`${P_IOTLB} 0000000040000009`], kept: false },
      { sent: [], kept: false },
    ]);
  });

  it('guest.unmap-frees-first: the page is free when the flush goes out', () => {
    const free = (deviations: string[]): boolean[] => {
      const g = attached({ ...quiet, deviations });
      g.ok(g.driver.map({ domain: 'd0', iova: 0x40000000, gpa: GPA + KiB4, size: MiB2 }));
      const table = Number(g.memory.readWord(tableAt(g, 0x40000000, 2)) & 0xffffffffff000n);
      const seen: boolean[] = [];
      g.trace.listener = (e) => {
        if (e.kind === 'command.post') seen.push(g.pages.has(table));
      };
      g.ok(g.driver.unmap({ domain: 'd0', iova: 0x40000000, size: MiB2 }));
      return seen;
    };
    expect(both('guest.unmap-frees-first', free)).toEqual([
      [true, true],
      [false, false],
    ]);
  });

  it('guest.queue-frees-at-once', () => {
    const [right, wrong] = both('guest.queue-frees-at-once', unmapped('queued', true));
    expect([right.kept, wrong.kept]).toEqual([true, false]);
    expect(wrong.sent).toEqual(right.sent);
  });

  it('guest.queue-no-flush', () => {
    const [right, wrong] = both('guest.queue-no-flush', unmapped('queued', true));
    expect([right.sent, wrong.sent]).toEqual([['0000000000020026 0000000000000000'], []]);
  });

  it('guest.flush-after-map', () => {
    const run = (deviations: string[]): string[] => {
      const g = attached({ ...quiet, deviations });
      return g.sent(g.driver.map({ domain: 'd0', iova: 0x10000, gpa: GPA, size: KiB4 }));
    };
    expect(both('guest.flush-after-map', run)).toEqual([[], [`${P_IOTLB} 0000000000010040`]]);
  });

  it('guest.leaf-only-flush and guest.range-by-length are the core’s', () => {
    const size = 4 * KiB4;
    const run = (deviations: string[]): string[] => {
      const g = attached({ ...quiet, deviations });
      g.ok(g.driver.map({ domain: 'd0', iova: 0x3000, gpa: GPA, size }));
      return g.sent(g.driver.unmap({ domain: 'd0', iova: 0x3000, size }));
    };
    // VTD-08: pages 4, 5 and 6 stay.
    expect(both('guest.range-by-length', run)).toEqual([
      [`${P_IOTLB} 0000000000000043`],
      [`${P_IOTLB} 0000000000000042`],
    ]);
    expect(both('guest.leaf-only-flush', unmapped('strict', false)).map((r) => r.sent)).toEqual([
      [`${P_IOTLB} 0000000040000009`],
      [`${P_IOTLB} 0000000040000049`],
    ]);
  });
});

/** Address of the entry at a level that covers an input address of d0. */
function tableAt(g: ReturnType<typeof attached>, iova: number, level: number): number {
  let table = g.driver.views().domains[0]!.root;
  for (let l = 4; ; l--) {
    const at = table + (Math.floor(iova / 2 ** (3 + 9 * l)) % 512) * 8;
    if (l === level) return at;
    table = Number(g.memory.readWord(at) & 0xffffffffff000n);
  }
}

describe('shared virtual addresses', () => {
  const P_SVA = '0000000100010036';
  const DEV = '0000000100180008';
  const munmap = (pages: number) => (deviations: string[]) => {
    const g = attached({ deviations });
    g.ok(g.driver.bind({ device: 'nic0', process: 'p' }));
    // One page more, so that the table stays and only the pages are flushed.
    g.ok(g.driver.map({ domain: 'p', iova: VA, gpa: GPA, size: (pages + 1) * KiB4 }));
    return g.sent(g.driver.unmap({ domain: 'p', iova: VA, size: pages * KiB4 }));
  };

  it('guest.sva-no-flush', () => {
    expect(both('guest.sva-no-flush', munmap(1))).toEqual([
      [`${P_SVA} 00007f0012340000`, `${DEV} 00007f0012340000`],
      [],
    ]);
  });

  it('guest.sva-end-inclusive: two pages become four', () => {
    expect(both('guest.sva-end-inclusive', munmap(2)).map((s) => s[0])).toEqual([
      `${P_SVA} 00007f0012340001`,
      `${P_SVA} 00007f0012340002`,
    ]);
  });

  it('guest.sva-last-page-missed: a single page is flushed all the same', () => {
    const name = 'guest.sva-last-page-missed';
    expect(both(name, munmap(1)).map((s) => s[0])).toEqual([`${P_SVA} 00007f0012340000`, `${P_SVA} 00007f0012340000`]);
    expect(both(name, munmap(2)).map((s) => s[0])).toEqual([`${P_SVA} 00007f0012340001`, `${P_SVA} 00007f0012340000`]);
  });

  it('guest.sva-whole-overflows', () => {
    const run = (deviations: string[]): string[] => {
      const g = attached({ deviations });
      g.ok(g.driver.bind({ device: 'nic0', process: 'p' }));
      return g.sent(g.driver.flush({ domain: 'p' }));
    };
    expect(both('guest.sva-whole-overflows', run)).toEqual([
      ['0000000100010026 0000000000000000', `${DEV} 7ffffffffffff800`],
      [`${P_SVA} 0000000000000000`, `${DEV} 0000000000000000`],
    ]);
  });

  it('guest.exit-keeps-entry: the entry still leads to the start table, and the tables below are free', () => {
    const run = (deviations: string[]) => {
      const g = attached({ deviations });
      g.ok(g.driver.bind({ device: 'nic0', process: 'p' }));
      const entry = g.driver.views().devices[0]!.entries[1]!;
      const sent = g.sent(g.driver.exit({ process: 'p' }));
      return { sent: sent.length, present: g.memory.readWord(entry.address) & 1n };
    };
    expect(both('guest.exit-keeps-entry', run)).toEqual([
      { sent: 3, present: 0n },
      { sent: 0, present: 1n },
    ]);
  });

  it('guest.no-page-response and guest.page-response-success', () => {
    const run = (mapped: boolean) => (deviations: string[]) => {
      const g = attached({ deviations });
      g.ok(g.driver.bind({ device: 'nic0', process: 'p' }));
      if (mapped) g.ok(g.driver.map({ domain: 'p', iova: VA, gpa: GPA, size: KiB4, present: false }));
      g.unit.takeWords();
      g.unit.pageRequest({ rid: 0x18, pasid: 1, page: BigInt(VA), group: 0, last: true, read: true, write: false });
      g.run(g.driver.interrupt());
      return g.unit.takeWords();
    };
    expect(both('guest.no-page-response', run(true))).toEqual([['0000000100180019 0000000000000000'], []]);
    expect(both('guest.page-response-success', run(false))).toEqual([
      ['0000000100181019 0000000000000000'],
      ['0000000100180019 0000000000000000'],
    ]);
  });
});

it('guest.no-dev-tlb-tag-late-ats (VTD-05): ATS comes after the first attach, and no unmap reaches the device', () => {
  const run = (deviations: string[]): string[] => {
    const g = attached({ deviations });
    g.ok(g.driver.map({ domain: 'd0', iova: 0x10000, gpa: GPA, size: KiB4 }));
    return g.sent(g.driver.unmap({ domain: 'd0', iova: 0x10000, size: KiB4 }));
  };
  expect(both('guest.no-dev-tlb-tag-late-ats', run)).toEqual([
    [`${P_IOTLB} 0000000000010040`, '0000001800000003 0000000000010000'],
    [`${P_IOTLB} 0000000000010040`],
  ]);
});
