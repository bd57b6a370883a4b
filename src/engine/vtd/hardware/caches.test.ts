import { describe, expect, it } from 'vitest';
import { A, B, IN_LO, SHIFT } from '../../cache/index.ts';
import { ALL_FS, ALL_SS } from '../../pagetable/x86-64.ts';
import { Trace } from '../../trace/index.ts';
import { VtdCaches } from './caches.ts';
import { decodeContext, decodeLegacyContext, decodePasidEntry } from './config.ts';
import { physicalFeatures } from './features.ts';

const f = physicalFeatures({});
const PERMS = ALL_FS | ALL_SS;
const MB2 = 0x20_0000;

/** Entries of every kind under two domain ids and two PASIDs, at 0, 4 KiB and, large, at 2 MiB. */
function filled(): VtdCaches {
  const caches = new VtdCaches(new Trace());
  for (const did of [5, 6])
    for (const pasid of [0, 9])
      for (const pgtt of [1, 2, 3, 4]) {
        // Kinds lie apart, as they would by addresses of their own.
        const at = pgtt * 0x1000_0000;
        caches.begin(did, pasid, 8, pgtt);
        for (const [page, shift] of [
          [0, 12],
          [4096, 12],
          [MB2, 21],
        ] as const)
          caches.fillLeaf(0, at + page, shift, 0, at + page, 0, at + page, PERMS, 1);
        const table = { tableHi: 0, tableLo: 0x1000, tableGpaHi: 0, tableGpaLo: 0, perms: 7 } as never;
        if (pgtt === 1 || pgtt === 3) caches.fillFirstTable(table, 0, at, 1);
        if (pgtt === 2 || pgtt === 3) caches.fillSecondTable(table, 0, at, 1);
        caches.finish(true);
      }
  return caches;
}

interface Left {
  readonly did: number;
  readonly pasid: number;
  readonly pgtt: number;
  readonly page: number;
}

function list(caches: VtdCaches, name: 'iotlb' | 'fswalk' | 'sswalk'): Left[] {
  const c = caches[name];
  const out: Left[] = [];
  c.forEach((i) => {
    const at = c.e[i + IN_LO]!;
    out.push({ did: c.e[i + A]!, pasid: c.e[i + B]!, pgtt: at >>> 28, page: at & 0xfff_ffff });
  });
  return out;
}

/** Tests which entries an invalidation takes: those of `gone`, and no other. */
function removes(
  act: (c: VtdCaches) => void,
  gone: { iotlb: (e: Left) => boolean; fswalk: (e: Left) => boolean; sswalk: (e: Left) => boolean },
): void {
  const caches = filled();
  const before = {
    iotlb: list(caches, 'iotlb'),
    fswalk: list(caches, 'fswalk'),
    sswalk: list(caches, 'sswalk'),
  };
  expect([before.iotlb.length, before.fswalk.length, before.sswalk.length]).toEqual([48, 8, 8]);
  act(caches);
  for (const name of ['iotlb', 'fswalk', 'sswalk'] as const)
    expect(list(caches, name)).toEqual(before[name].filter((e) => !gone[name](e)));
}

const never = () => false;
const second = (e: Left): boolean => e.pgtt === 2 || e.pgtt === 4;

describe('2.5: what each descriptor removes from the translation caches', () => {
  it('IOTLB global: everything', () => {
    removes((c) => c.iotlbGlobal(), { iotlb: () => true, fswalk: () => true, sswalk: () => true });
  });

  it('IOTLB DSI: the domain, any PASID', () => {
    const did = (e: Left) => e.did === 5;
    removes((c) => c.iotlbDomain(5), { iotlb: did, fswalk: did, sswalk: did });
  });

  it('10.5: IOTLB PSI takes every first-stage and nested entry of the domain, and second-stage ones of the range', () => {
    removes((c) => c.iotlbPages(5, 0, 0x2000_1000, 0, false), {
      iotlb: (e) => e.did === 5 && (!second(e) || (e.pgtt === 2 && e.page === 4096)),
      fswalk: (e) => e.did === 5,
      sswalk: (e) => e.did === 5 && e.pgtt === 2,
    });
  });

  it('IOTLB PSI with IH keeps the second-stage tables', () => {
    removes((c) => c.iotlbPages(5, 0, 0x2000_1000, 0, true), {
      iotlb: (e) => e.did === 5 && (!second(e) || (e.pgtt === 2 && e.page === 4096)),
      fswalk: (e) => e.did === 5,
      sswalk: never,
    });
  });

  it('IOTLB PSI: the mask widens the range, and a page that it overlaps goes whole', () => {
    removes((c) => c.iotlbPages(5, 0, 0x2000_1000, 1, true), {
      iotlb: (e) => e.did === 5 && (!second(e) || (e.pgtt === 2 && e.page <= 4096)),
      fswalk: (e) => e.did === 5,
      sswalk: never,
    });
    removes((c) => c.iotlbPages(5, 0, 0x4020_7000, 0, true), {
      iotlb: (e) => e.did === 5 && (!second(e) || (e.pgtt === 4 && e.page === MB2)),
      fswalk: (e) => e.did === 5,
      sswalk: never,
    });
  });

  it('P_IOTLB PASID-selective: all kinds of domain and PASID, but second-stage tables', () => {
    const both = (e: Left) => e.did === 5 && e.pasid === 9;
    removes((c) => c.pasidIotlb(5, 9), { iotlb: both, fswalk: both, sswalk: never });
  });

  it('P_IOTLB PSI: first-stage and nested entries of domain, PASID and range', () => {
    removes((c) => c.pasidIotlbPages(5, 9, 0, 0x1000_0000, 0, false), {
      iotlb: (e) => e.did === 5 && e.pasid === 9 && e.pgtt === 1 && e.page === 0,
      fswalk: (e) => e.did === 5 && e.pasid === 9 && e.pgtt === 1,
      sswalk: never,
    });
    removes((c) => c.pasidIotlbPages(5, 9, 0, 0x3020_5000, 0, true), {
      iotlb: (e) => e.did === 5 && e.pasid === 9 && e.pgtt === 3 && e.page === MB2,
      fswalk: never,
      sswalk: never,
    });
    // Second-stage and pass-through entries are not touched.
    removes((c) => c.pasidIotlbPages(5, 9, 0, 0x2000_0000, 9, true), { iotlb: never, fswalk: never, sswalk: never });
  });

  it('10.3: the parent\u2019s own domain id does not reach its children', () => {
    removes((c) => c.iotlbDomain(7), { iotlb: never, fswalk: never, sswalk: never });
  });

  it('masks of every size remove what they cover, up to all of it', () => {
    for (const am of [0, 9, 16, 17, 18, 20, 30, 45, 51, 52, 63]) {
      const caches = filled();
      // With a mask of 52 and more no address bit counts.
      caches.pasidIotlbPages(5, 9, am < 52 ? 0 : -1, 0x1000_0000, am, false);
      const left = list(caches, 'iotlb').filter((e) => e.did === 5 && e.pasid === 9 && !second(e));
      const bytes = 2 ** (12 + am);
      const from = 0x1000_0000 - (0x1000_0000 % bytes);
      for (const e of left) {
        const at = e.pgtt * 0x1000_0000 + e.page;
        expect(at >= from && at < from + bytes).toBe(false);
      }
      expect(left.length).toBe(am < 9 ? 5 : am < 16 ? 4 : am < 18 ? 3 : 0);
    }
  });

  it('context and PASID invalidations touch no translation', () => {
    removes(
      (c) => {
        c.contextGlobal();
        c.contextDomain(5);
        c.contextDevice(5, 8, 3);
        c.pasidGlobal();
        c.pasidDomain(5);
        c.pasidSelective(5, 9);
      },
      { iotlb: never, fswalk: never, sswalk: never },
    );
  });
});

describe('2.5: what each descriptor removes from the context and PASID caches', () => {
  const words = (n: number, ...w: readonly number[]): Uint32Array =>
    Uint32Array.from([...w, ...new Array(n - w.length).fill(0)]);
  const place = { address: 0, directory: 1n, directoryAddress: 0 };

  function config(): VtdCaches {
    const c = new VtdCaches(new Trace());
    for (const rid of [0x100, 0x102, 0x104, 0x106, 0x107, 0x200]) {
      c.addContext(decodeContext(words(8, 0x1001), rid, c.newUid(), 0, f));
      for (const [pasid, did] of [
        [0, 5],
        [9, 5],
        [10, 6],
      ] as const)
        c.addPasid(decodePasidEntry(words(16, 0x109, 0, did), { rid, pasid, uid: c.newUid(), ...place }, f));
    }
    c.addContext(decodeLegacyContext(words(4, 0x1001, 0, (5 << 8) | 2), 0x300, c.newUid(), 0, f));
    c.addContext(decodeLegacyContext(words(4, 0x1001, 0, (6 << 8) | 2), 0x301, c.newUid(), 0, f));
    return c;
  }
  const contexts = (c: VtdCaches): number[] => [...c.context.keys()];
  const pasids = (c: VtdCaches): string[] =>
    [...c.pasid].flatMap(([rid, of]) => [...of.keys()].map((p) => `${rid.toString(16)}.${p}`));
  const all = config();

  it.each([
    ['CC global', (c: VtdCaches) => c.contextGlobal(), []],
    ['CC domain: legacy entries of it, scalable ones all', (c: VtdCaches) => c.contextDomain(5), [0x301]],
    [
      'CC device, exact',
      (c: VtdCaches) => c.contextDevice(0, 0x104, 0),
      [0x100, 0x102, 0x106, 0x107, 0x200, 0x300, 0x301],
    ],
    [
      'CC device, without bit 2',
      (c: VtdCaches) => c.contextDevice(0, 0x104, 1),
      [0x102, 0x106, 0x107, 0x200, 0x300, 0x301],
    ],
    ['CC device, without bits 2 and 1', (c: VtdCaches) => c.contextDevice(0, 0x104, 2), [0x107, 0x200, 0x300, 0x301]],
    ['CC device, all functions', (c: VtdCaches) => c.contextDevice(0, 0x104, 3), [0x200, 0x300, 0x301]],
    [
      'CC device, legacy: of its domain only',
      (c: VtdCaches) => c.contextDevice(6, 0x300, 3),
      [0x100, 0x102, 0x104, 0x106, 0x107, 0x200, 0x300],
    ],
  ] as const)('%s', (_name, act, left) => {
    const c = config();
    act(c);
    expect(contexts(c)).toEqual(left);
    expect(pasids(c)).toEqual(pasids(all));
  });

  it.each([
    ['PC global', (c: VtdCaches) => c.pasidGlobal(), () => false],
    ['PC domain: any PASID, any RID', (c: VtdCaches) => c.pasidDomain(5), (p: string) => p.endsWith('.10')],
    ['PC selective: any RID', (c: VtdCaches) => c.pasidSelective(5, 9), (p: string) => !p.endsWith('.9')],
    ['PC selective, of another domain', (c: VtdCaches) => c.pasidSelective(5, 10), () => true],
  ] as const)('%s', (_name, act, stays) => {
    const c = config();
    act(c);
    expect(pasids(c)).toEqual(pasids(all).filter(stays));
    expect(contexts(c)).toEqual(contexts(all));
  });

  it('everything goes with the root table pointer', () => {
    const c = config();
    c.everything();
    expect([contexts(c), pasids(c)]).toEqual([[], []]);
  });

  it('survives a save', () => {
    const c = config();
    c.begin(5, 9, 8, 3);
    c.fillLeaf(0, 0, 21, 0, 0, 0, 0, PERMS, 2);
    const other = new VtdCaches(new Trace());
    other.load(c.save());
    expect([contexts(other), pasids(other)]).toEqual([contexts(c), pasids(c)]);
    expect(other.newUid()).toBe(c.newUid());
    other.iotlb.forEach((i) => {
      expect(other.iotlb.e[i + SHIFT]).toBe(21);
    });
    expect(other.save()).toEqual(c.save());
  });
});
