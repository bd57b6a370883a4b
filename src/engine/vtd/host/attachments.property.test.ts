import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import type { CacheTag, DeviceInfo, Domain } from '../linux/index.ts';
import {
  A,
  attach,
  B,
  type Bed,
  bed,
  bind,
  detach,
  dma,
  GPA,
  guestTable,
  invalidate,
  MiB,
  nested,
  stale,
  UVA,
} from './testbed.ts';

/**
 * Any sequence of what a VMM and its guest can do with RIDs and PASIDs: nothing cached is ever stale, a device reaches exactly
 * what is mapped, also after an attach that fails, and each domain has the tags of those that are attached to it.
 */

type Step =
  | { kind: 'attach'; device: number; table: number; pasid: number }
  | { kind: 'detach'; device: number; pasid: number }
  | { kind: 'map' | 'unmap'; space: number; page: number }
  | { kind: 'guest map' | 'guest unmap'; guest: number; page: number }
  | { kind: 'dma'; device: number; pasid: number; page: number; translated: boolean; write: boolean }
  | { kind: 'reset'; device: number; inside: boolean }
  | { kind: 'dirty'; on: boolean };

const device = fc.nat(1);
const pasid = fc.constantFrom(0, 1, 70);
const page = fc.nat(1);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('attach'), device, table: fc.nat(4), pasid } as const) },
  fc.record({ kind: fc.constant('detach'), device, pasid } as const),
  fc.record({ kind: fc.constantFrom('map', 'unmap'), space: fc.nat(1), page } as const),
  fc.record({ kind: fc.constantFrom('guest map', 'guest unmap'), guest: fc.nat(1), page } as const),
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('dma'),
      device,
      pasid,
      page,
      translated: fc.boolean(),
      write: fc.boolean(),
    } as const),
  },
  fc.record({ kind: fc.constant('reset'), device, inside: fc.boolean() } as const),
  fc.record({ kind: fc.constant('dirty'), on: fc.boolean() } as const),
);

const at = (n: number): number => 0x10000000 + n * 4096;
const user = (space: number, n: number): number => UVA + 0x40000000 * (space + 1) + n * 0x2000;

/** Tables 0 and 1 are guests' on the parent, 2 is the parent, 3 a first-stage one; attaching 4 fails. */
function machine() {
  const b = bed({ devices: [A, { ...B, ats: false }] });
  const devs = b.devices.map((d) => bind(b, d.name));
  const spaces = [0, 1].map(() => b.make('IOMMU_IOAS_ALLOC'));
  b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: spaces[0]!, user_va: UVA, length: 4 * MiB, iova: GPA });
  const dev_id = devs[0]!.dev;
  const parent = b.make('IOMMU_HWPT_ALLOC', { flags: 11, dev_id, pt_id: spaces[0]! });
  const guests = [0, 1].map((i) => guestTable(b, GPA + i * MiB));
  const s1 = guests.map((g) => nested(b, { dev: dev_id, parent }, g.root));
  const first = b.make('IOMMU_HWPT_ALLOC', { flags: 8, dev_id, pt_id: spaces[1]! });
  const bad = nested(b, { dev: dev_id, parent }, guests[0]!.root, { width: 40 });
  return { b, devs, spaces, guests, s1, tables: [...s1, parent, first, bad], parent };
}

const text = (t: Omit<CacheTag, 'unit'>): string => `${t.type} ${t.device} did ${t.did} pasid ${t.pasid} x${t.users}`;

/** Tags that a domain should have, from who is attached. */
function expectedTags(b: Bed, domain: Domain): string[] {
  const out = new Map<string, Omit<CacheTag, 'unit'>>();
  const add = (type: CacheTag['type'], d: DeviceInfo, did: number, p: number): void => {
    const name = type.endsWith('devtlb') ? d.name : 'dmar0';
    const key = `${type} ${name} ${did} ${p}`;
    out.set(key, { type, device: name, did, pasid: p, users: (out.get(key)?.users ?? 0) + 1 });
  };
  for (const d of b.driver.state.devices)
    for (const [p, handle] of [[0, d.domain] as const, ...d.pasids]) {
      const x = b.driver.state.domains.get(handle)!;
      const prefix = x === domain ? '' : x.parent === domain.handle ? 'nesting_' : null;
      if (prefix === null) continue;
      add(`${prefix}iotlb`, d, x.dids[0]!.did, p);
      if (d.atsEnabled) add(`${prefix}devtlb`, d, x.dids[0]!.did, p);
    }
  return [...out.values()].map(text).sort();
}

describe('attachments', () => {
  it('leave nothing stale', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 40 }), (steps) => {
        const { b, devs, spaces, guests, s1, tables, parent } = machine();
        // Most accesses should succeed, so that there is something to go stale: all is mapped at first.
        const mapped = [new Set<number>(), new Set<number>()];
        const known = [new Set<number>(), new Set<number>()];
        const map = (space: number, n: number): void => {
          const input = { ioas_id: spaces[space]!, user_va: user(space, n), length: 4096, iova: at(n) };
          b.make('IOMMU_IOAS_MAP', { flags: 7, ...input });
          mapped[space]!.add(n);
        };
        const guestMap = (g: number, n: number): void => {
          guests[g]!.map(at(n), at(n));
          known[g]!.add(n);
        };
        for (const i of [0, 1])
          for (const n of [0, 1]) {
            map(i, n);
            guestMap(i, n);
          }
        /** What iommufd shows, and what is behind it, by PASID; 0 is the RID. */
        const shown = [new Map<number, number>(), new Map<number, number>()];
        const real = [new Map<number, number>(), new Map<number, number>()];
        for (const s of steps) {
          switch (s.kind) {
            case 'attach': {
              const { errno } = attach(b, devs[s.device]!, tables[s.table]!, s.pasid);
              expect(errno).toBe(s.table === 4 ? 'EINVAL' : '0');
              if (s.table === 4) real[s.device]!.delete(s.pasid);
              else if (shown[s.device]!.get(s.pasid) !== s.table) real[s.device]!.set(s.pasid, s.table);
              if (s.table !== 4) shown[s.device]!.set(s.pasid, s.table);
              break;
            }
            case 'detach':
              detach(b, devs[s.device]!, s.pasid);
              shown[s.device]!.delete(s.pasid);
              real[s.device]!.delete(s.pasid);
              break;
            case 'map':
              if (!mapped[s.space]!.has(s.page)) map(s.space, s.page);
              break;
            case 'unmap':
              if (!mapped[s.space]!.delete(s.page)) break;
              b.make('IOMMU_IOAS_UNMAP', { ioas_id: spaces[s.space]!, iova: at(s.page), length: 4096 });
              break;
            case 'guest map':
              if (!known[s.guest]!.has(s.page)) guestMap(s.guest, s.page);
              break;
            case 'guest unmap':
              if (!known[s.guest]!.delete(s.page)) break;
              guests[s.guest]!.unmap(at(s.page));
              expect(invalidate(b, s1[s.guest]!, at(s.page), 1).errno).toBe('0');
              break;
            case 'dma': {
              const translated = s.translated && b.devices[s.device]!.atsEnabled;
              const r = dma(b, at(s.page), { device: s.device, pasid: s.pasid || -1, write: s.write, translated });
              runToEnd(b.driver.interrupt());
              const t = real[s.device]!.get(s.pasid);
              const guest = t === 0 || t === 1 ? known[t]!.has(s.page) : true;
              const there = t !== undefined && guest && mapped[t === 3 ? 1 : 0]!.has(s.page);
              expect(r.ok, JSON.stringify([s, r.fault?.name])).toBe(there);
              break;
            }
            case 'reset': {
              const { name } = b.devices[s.device]!;
              runToEnd(b.driver.resetPrepare(name));
              if (s.inside && mapped[0]!.delete(0))
                b.make('IOMMU_IOAS_UNMAP', { ioas_id: spaces[0]!, iova: at(0), length: 4096 });
              b.devices[s.device]!.reset();
              runToEnd(b.driver.resetDone(name));
              // What comes back is what the core believes to be there.
              if (b.devices[s.device]!.atsCapable)
                for (const [p, t] of shown[s.device]!) if (p) real[s.device]!.set(p, t);
              break;
            }
            case 'dirty':
              b.ioctl('IOMMU_HWPT_SET_DIRTY_TRACKING', { hwpt_id: parent, flags: s.on ? 1 : 0 });
              break;
          }
          expect(stale(b), JSON.stringify(s)).toEqual([]);
          const { domains, units } = b.driver.state;
          const dids = [...domains.values()].flatMap((d) => d.dids.map((x) => x.did));
          expect([...units[0]!.dids].sort(), JSON.stringify(s)).toEqual(dids.sort());
          for (const d of domains.values())
            if (d.handle > 0) expect(d.tags.map(text).sort(), JSON.stringify(s)).toEqual(expectedTags(b, d));
        }
      }),
      { numRuns: 60 },
    );
  }, 60_000);
});
