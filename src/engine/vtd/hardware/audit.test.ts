import { describe, expect, it } from 'vitest';
import { encode } from '../../bits/index.ts';
import type { TranslationCache, Verdict } from '../../cache/index.ts';
import { pasidLayout } from '../layout/index.ts';
import { DATA, DID, FS_ROOT, IOVA, OFFSET, type Shape, WalkMachine } from './walk-machine.ts';

/** Verdicts on all entries of a cache, oldest first. */
function verdicts(m: WalkMachine, c: TranslationCache): Verdict[] {
  const out: Verdict[] = [];
  c.forEach((i) => {
    out.push(m.unit.audit.verdict(c, i));
  });
  return out;
}

const states = (m: WalkMachine, name: 'iotlb' | 'fswalk' | 'sswalk'): string =>
  [...new Set(verdicts(m, m.unit.caches[name]).map((v) => v.state))].sort().join(' ');

function filled(shape: Shape = {}, write = true): WalkMachine {
  const m = new WalkMachine(shape);
  expect(m.dma({ write })).toMatchObject({ ok: true });
  return m;
}

/** The whole of memory says the same again afterwards. */
const all = ['iotlb', 'fswalk', 'sswalk'] as const;

describe('what memory still says is the same', () => {
  it.each([0, 1, 2, 3, 4] as const)('PGTT %i', (pgtt) => {
    const m = filled({ pgtt });
    for (const name of all) expect(['same', '']).toContain(states(m, name));
    expect(m.unit.caches.iotlb.size).toBe(1);
    for (const e of m.unit.caches.context.values()) expect(m.unit.audit.sameConfig('Context', e)).toBe(true);
    for (const of of m.unit.caches.pasid.values())
      for (const e of of.values()) expect(m.unit.audit.sameConfig('PASID', e)).toBe(true);
  });

  it('an entry that grants less than memory does', () => {
    const m = filled({ pgtt: 2 }, false);
    const less = new WalkMachine({});
    less.flip(less.fsEntry(IOVA), 2n);
    less.dma();
    less.flip(less.fsEntry(IOVA), 2n);
    expect([states(m, 'iotlb'), states(less, 'iotlb')]).toEqual(['same', 'same']);
  });

  it('accessed and dirty bits that software clears, but for the dirty bit of what lets writes through', () => {
    const m = filled();
    m.flip(m.fsEntry(IOVA), 0x20n);
    m.flip(m.fsEntry(IOVA, 3), 0x20n);
    expect(states(m, 'iotlb')).toBe('same');
    m.flip(m.fsEntry(IOVA), 0x40n);
    expect(verdicts(m, m.unit.caches.iotlb)).toMatchObject([{ state: 'differs', now: 'a clean page', stage2: false }]);
    const read = filled({ entry: { SSADE: 1 } }, false);
    expect(states(read, 'iotlb')).toBe('same');
  });
});

describe('what differs', () => {
  it('another page, an absent one, other rights: by the first stage', () => {
    const m = filled();
    const at = m.fsEntry(IOVA);
    m.flip(at, 0x1000n);
    m.write(m.ssEntry(DATA + 4096), BigInt(DATA + OFFSET + 4096) | 3n);
    const [v] = verdicts(m, m.unit.caches.iotlb);
    expect(v).toMatchObject({
      state: 'differs',
      now: `PA 0x${(DATA + OFFSET + 4096).toString(16)}`,
      stage2: false,
    });
    expect(v!.depends).toContain(at);
    expect(v!.depends).toContain(m.pasidEntry);
    m.flip(at, 0x1001n);
    expect(verdicts(m, m.unit.caches.iotlb)).toMatchObject([
      { state: 'differs', now: expect.stringContaining('SFS.2') },
    ]);
    m.flip(at, 3n);
    expect(verdicts(m, m.unit.caches.iotlb)).toMatchObject([
      { state: 'differs', now: expect.stringContaining('with other permissions') },
    ]);
    m.flip(at, 2n);
    expect(states(m, 'iotlb')).toBe('same');
  });

  it('by the second stage, which the verdict says', () => {
    const m = filled();
    m.flip(m.ssEntry(DATA), 0x1000n);
    expect(verdicts(m, m.unit.caches.iotlb)).toMatchObject([{ state: 'differs', stage2: true }]);
    m.write(m.ssEntry(DATA), 0n);
    expect(verdicts(m, m.unit.caches.iotlb)).toMatchObject([
      { state: 'differs', stage2: true, now: expect.stringContaining('SSS.2') },
    ]);
  });

  it('snooping', () => {
    const m = filled();
    m.flip(m.ssEntry(DATA), 0x800n);
    expect(verdicts(m, m.unit.caches.iotlb)).toMatchObject([
      { state: 'differs', now: expect.stringContaining('snooping') },
    ]);
  });

  it('a first-stage table moved by the second stage', () => {
    const m = filled();
    const to = 0x2_0000_0000;
    const from = FS_ROOT + 0x1000;
    for (let k = 0; k < 512; k++) m.write(to + 8 * k, m.word(from + OFFSET + 8 * k));
    m.write(m.ssEntry(from), BigInt(to) | 3n);
    const found = verdicts(m, m.unit.caches.fswalk).filter((v) => v.state === 'differs');
    expect(found).toMatchObject([{ now: 'table 0x200000000', stage2: true }]);
    // The translation itself is what it was.
    expect(states(m, 'iotlb')).toBe('same');
  });

  it('a table replaced in its own stage', () => {
    const m = filled();
    m.write(m.fsEntry(IOVA, 3), 0n);
    expect(states(m, 'fswalk')).toBe('differs same');
    const second = filled({ pgtt: 2 });
    second.write(second.ssEntry(IOVA, 4), 0n);
    expect(verdicts(second, second.unit.caches.sswalk).map((v) => v.now)).toEqual(['no table', 'no table', 'no table']);
    const rights = filled({ pgtt: 2 });
    rights.flip(rights.ssEntry(IOVA, 4), 2n);
    expect(states(rights, 'sswalk')).toBe('differs');
  });

  it('a large page cut into small ones that say the same does not', () => {
    const m = new WalkMachine({ pgtt: 2 });
    const page = IOVA - (IOVA % 0x20_0000);
    const small = m.word(m.ssEntry(IOVA, 2));
    m.write(m.ssEntry(IOVA, 2), BigInt(page + OFFSET) | 0x83n);
    m.dma();
    const table = Number(small & 0xf_ffff_f000n);
    for (let k = 0; k < 512; k++) m.write(table + 8 * k, BigInt(page + OFFSET + 4096 * k) | 3n);
    m.write(m.ssEntry(IOVA, 2), small);
    expect(states(m, 'iotlb')).toBe('same');
    m.write(table + 8 * 511, 0n);
    expect(states(m, 'iotlb')).toBe('differs');
  });
});

describe('what nothing can hit', () => {
  it('when the PASID entry has another domain id, or none', () => {
    const m = filled();
    const word = m.word(m.pasidEntry + 8);
    m.write(m.pasidEntry + 8, (word & ~0xffffn) | 9n);
    for (const name of all) expect(states(m, name)).toBe('unreachable');
    m.write(m.pasidEntry + 8, word);
    for (const name of all) expect(states(m, name)).toBe('same');
    m.flip(m.pasidEntry, 1n);
    for (const name of all) expect(states(m, name)).toBe('unreachable');
  });

  it('when the entry translates by other stages, the translation is compared all the same', () => {
    const m = filled();
    m.put(
      m.pasidEntry,
      encode(pasidLayout, { P: 1, PGTT: 2, AW: 2, DID, PWSNP: 1, SSPTPTR: m.word(m.pasidEntry) & 0xf_ffff_f000n }),
    );
    expect(states(m, 'fswalk')).toBe('unreachable');
    expect(states(m, 'iotlb')).toBe('differs');
    expect(m.dma({ write: true })).toMatchObject({ hit: 'IOTLB' });
    m.unit.caches.pasidGlobal();
    // The tag is the same, so the stale entry answers.
    expect(m.dma({ write: true })).toMatchObject({ hit: 'IOTLB', pa: DATA + OFFSET + 0x678 });
  });
});

describe('configuration entries', () => {
  it('differ by their words', () => {
    const m = filled();
    const [context] = m.unit.caches.context.values();
    const [pasid] = m.unit.caches.pasid.get(m.device.rid)!.values();
    const state = () => [m.unit.audit.config('Context', context!).state, m.unit.audit.config('PASID', pasid!).state];
    expect(state()).toEqual(['same', 'same']);
    m.flip(m.contextEntry, 4n | 0x10n);
    expect(state()).toEqual(['differs', 'same']);
    m.flip(m.contextEntry, 4n | 0x10n);
    m.flip(m.pasidEntry + 16, 1n << 12n);
    expect(state()).toEqual(['same', 'differs']);
    m.flip(m.pasidEntry + 16, 1n << 12n);
    m.flip(m.directoryEntry, 2n);
    expect(state()).toEqual(['same', 'differs']);
    m.write(m.rootEntry, 0n);
    expect(state()).toEqual(['differs', 'differs']);
    expect(m.unit.audit.config('Context', context!).now).toBe('no context entry');
  });
});

describe('what a device holds', () => {
  const atc = (m: WalkMachine): Verdict[] => {
    const out: Verdict[] = [];
    m.device.atc.forEach((i) => {
      out.push(m.unit.audit.atc(m.device, i));
    });
    return out;
  };

  it('is compared with what it would get now', () => {
    const m = new WalkMachine();
    m.ats();
    expect(atc(m)).toMatchObject([{ state: 'same' }]);
    m.flip(m.fsEntry(IOVA), 2n);
    expect(atc(m)).toMatchObject([{ state: 'differs' }]);
    m.flip(m.fsEntry(IOVA), 3n);
    expect(atc(m)).toMatchObject([{ state: 'differs', now: 'no translation' }]);
    m.flip(m.fsEntry(IOVA), 1n);
    m.flip(m.fsEntry(IOVA), 0x40n);
    expect(atc(m)).toMatchObject([{ state: 'differs', now: 'a clean page' }]);
    m.flip(m.fsEntry(IOVA), 0x40n);
    m.flip(m.contextEntry, 0x14n);
    expect(atc(m)).toMatchObject([{ state: 'differs', now: 'no translation' }]);
    m.device.atsEnabled = false;
    expect(atc(m)).toMatchObject([{ state: 'unreachable' }]);
  });

  it('is the same when it grants less', () => {
    const m = new WalkMachine();
    m.flip(m.ssEntry(DATA), 2n);
    m.ats();
    m.flip(m.ssEntry(DATA), 2n);
    expect(atc(m)).toMatchObject([{ state: 'same' }]);
  });
});

it('a removal says whether the entry was still valid', () => {
  const m = filled();
  const seen: string[] = [];
  m.trace.listener = (e) => {
    if (e.kind === 'cache.remove') seen.push(`${e.entry.cache} ${e.valid} ${e.by}`);
  };
  m.unit.caches.by = 'test';
  m.unit.caches.pasidIotlbPages(DID, 0, 0, IOVA, 0, true);
  expect(seen).toEqual(['IOTLB true test']);
  m.dma();
  m.flip(m.fsEntry(IOVA), 1n);
  m.unit.caches.by = 'again';
  m.unit.caches.pasidIotlbPages(DID, 0, 0, IOVA, 0, true);
  expect(seen[1]).toBe('IOTLB false again');
});
