import { describe, expect, it } from 'vitest';
import { A, bench, during, GUEST, HOST } from './bench.ts';
import { attachDevice, BLOCKED, flushAll, flushUnmapped, releaseDevice } from './index.ts';

const FOUR = { cap: HOST.cap | (1n << 10n), ecap: HOST.ecap };
const FS = { kind: 'fs', root: 0x104567000n } as const;

describe('section 6: context entries and the root pointer', () => {
  it('CM=1: the new context entry, then what was cached under domain 0', () => {
    const b = bench({ actor: 'guest', initial: null, devices: [] });
    expect(b.unit.submissions).toEqual([]);
    const withDevice = bootSubmissions(GUEST, 'guest');
    expect(withDevice).toEqual([['0x00003b0000000031 0x0000000000000000'], ['0x00000000000000e2 0x0000000000000000']]);
  });

  it('CM=0: nothing; ESRTPS=0: everything is emptied when the root is set', () => {
    expect(bootSubmissions(FOUR, 'driver')).toEqual([
      ['0x0000000000000011 0x0000000000000000'],
      ['0x0000000000000037 0x0000000000000000'],
      ['0x00000000000000d2 0x0000000000000000'],
    ]);
    expect(bootSubmissions({ cap: FOUR.cap | (1n << 63n), ecap: FOUR.ecap }, 'driver')).toEqual([]);
  });

  it('a removed device: entries torn down, then the context entry zeroed and its cache told; ATS is off by then', () => {
    const b = bench({ words: FOUR });
    const { directory } = b.device(A.name).pasidTable!;
    const { sent } = during(b, () => b.run(releaseDevice(b.k, A.name)));
    expect(sent).toEqual([
      ['0x0000000000010017 0x0000000000000000'],
      ['0x0000000000010026 0x0000000000000000'],
      ['0x00003b0000000003 0x7ffffffffffff001'],
      ['0x00003b0000000031 0x0000000000000000'],
    ]);
    expect(b.k.pages.has(directory)).toBe(false);
  });
});

/** What is sent while a kernel with one blocked device boots. */
function bootSubmissions(
  words: { readonly cap: bigint; readonly ecap: bigint },
  actor: 'driver' | 'guest',
): string[][] {
  const log: string[] = [];
  const b = bench({ words, actor, initial: null, devices: [A], onLine: (l) => log.push(l) });
  expect(b.device(A.name).domain).toBe(BLOCKED);
  return log
    .filter((l) => l.startsWith('qi_submit'))
    .map((l) => {
      const [qw0, qw1] = l.split(' ').slice(3, 5);
      return [[qw0!, qw1!].map((w) => `0x${BigInt(w).toString(16).padStart(16, '0')}`).join(' ')];
    });
}

describe('7.4: address masks of a strict unmap', () => {
  const M2 = 0x200000n;
  it.each([
    [0xfffff000n, 0x1000n, false, 0xfffff040n],
    [0x40000000n, M2, true, 0x40000009n],
    [0x40000000n, M2, false, 0x40000049n],
    [0x10000n, 0x3000n, false, 0x10042n],
    [0x11000n, 0x3000n, false, 0x10042n],
    [0x1f000n, 0x2000n, false, 0x46n],
    [0x40001000n, M2, false, 0x4000004an],
    [0x3ff000n, 0x202000n, false, 0x4bn],
    [0x3ff000n, 0x202000n, true, 0xbn],
    [0x1000n, 0x3ffff000n + 0x1000n, true, 0x13n],
    [0xfffffffff000n, 0x2000n, false, 0x65n],
  ])('10.6, 10.7, 10.17: 0x%s + 0x%s, freed tables %s', (start, size, freed, qw1) => {
    const b = bench({ actor: 'guest', devices: [{ ...A, atsCapable: false }] });
    const domain = b.domain(FS);
    b.run(attachDevice(b.k, b.device(A.name), domain));
    // The reference's row of 2^18 pages ends a page earlier.
    const last = start === 0x1000n ? 0x40000fffn : start + size - 1n;
    const { sent } = during(b, () => b.run(flushUnmapped(b.k, domain, start, last, freed)));
    expect(sent).toEqual([[`0x0000000000020036 0x${qw1.toString(16).padStart(16, '0')}`]]);
  });

  it('the whole space is a PASID-selective flush', () => {
    const b = bench({ actor: 'guest', devices: [{ ...A, atsCapable: false }] });
    const domain = b.domain(FS);
    b.run(attachDevice(b.k, b.device(A.name), domain));
    const { sent } = during(b, () => b.run(flushAll(b.k, domain)));
    expect(sent).toEqual([['0x0000000000020026 0x0000000000000000']]);
  });
});
