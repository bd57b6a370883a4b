import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { compareInvalidations, type Invalidation } from './invalidation-array.ts';
import { hostRules } from './rules.ts';
import { stale } from './stale.ts';
import { type Bed, bed, UVA } from './testbed.ts';

/**
 * Any sequence of what a VMM can do with RIDs and PASIDs of the host's own page tables: nothing cached is ever stale, a device
 * reaches exactly what is mapped, and each domain invalidates for exactly those that are attached to it.
 */

type Step =
  | { kind: 'rid'; device: number; table: number }
  | { kind: 'pasid'; device: number; table: number; pasid: number }
  | { kind: 'clear'; device: number; pasid: number }
  | { kind: 'map' | 'unmap'; space: number; page: number }
  | { kind: 'dma'; device: number; pasid: number; page: number; translated: boolean }
  | { kind: 'reset'; device: number; inside: boolean };

const device = fc.nat(1);
const table = fc.nat(4);
const pasid = fc.constantFrom(0, 1, 40);
const page = fc.nat(1);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('rid'), device, table } as const),
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pasid'), device, table, pasid } as const) },
  fc.record({ kind: fc.constant('clear'), device, pasid } as const),
  fc.record({ kind: fc.constantFrom('map', 'unmap'), space: fc.nat(1), page } as const),
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('dma'), device, pasid, page, translated: fc.boolean() } as const),
  },
  fc.record({ kind: fc.constant('reset'), device, inside: fc.boolean() } as const),
);

/** Two devices, one with ATS; two address spaces; page tables: S1 and S1 for PASIDs of each space, and a nest parent. */
function machine() {
  const b = bed({
    devices: [
      { name: 'nic0', rid: 0x108, ats: true, pasidBits: 6 },
      { name: 'nic1', rid: 0x109, pasidBits: 6 },
    ],
  });
  const fds = ['nic0', 'nic1'].map((d) => b.iommufd.openDevice(d));
  const devs = fds.map((fd) => b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd));
  const spaces = [0, 1].map(() => b.make('IOMMU_IOAS_ALLOC'));
  const alloc = (space: number, flags: number): number =>
    b.make('IOMMU_HWPT_ALLOC', { flags, dev_id: devs[0]!, pt_id: spaces[space]! });
  // Index of the space behind each page table.
  const tables = [0, 1].flatMap((s) => [
    { id: alloc(s, 0), space: s },
    { id: alloc(s, 8), space: s },
  ]);
  tables.push({ id: alloc(0, 1), space: 0 });
  return { b, fds, spaces, tables };
}

const iova = (n: number): number => 0x10000000 + n * 4096;
const user = (space: number, n: number): number => UVA + 0x400000 * (space + 1) + n * 0x2000;

/** What each domain should invalidate, computed from who is attached. */
function expectedInvalidations(b: Bed, handle: number): (Invalidation & { users: number })[] {
  const d = b.driver.state.paging.get(handle)!;
  const out: (Invalidation & { users: number })[] = [];
  for (const m of b.driver.masters())
    for (const [ssid, at] of [[0, m.domain] as const, ...m.pasids]) {
      if (at !== handle) continue;
      for (const e of hostRules.invalidationsFor(d, m.sid, m.atsEnabled, ssid)) {
        const same = out.find((x) => compareInvalidations(x, e) === 0);
        if (same) same.users++;
        else out.push({ ...e, users: 1 });
      }
    }
  return out.sort(compareInvalidations);
}

describe('host attachments', () => {
  it('leave nothing stale', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 40 }), (steps) => {
        const { b, fds, spaces, tables } = machine();
        // Most accesses should succeed, so that there is something to go stale: all is mapped at first.
        const mapped = [new Set<number>(), new Set<number>()];
        const map = (space: number, n: number): void => {
          const input = { ioas_id: spaces[space]!, user_va: user(space, n), length: 4096, iova: iova(n) };
          b.make('IOMMU_IOAS_MAP', { flags: 7, ...input });
          mapped[space]!.add(n);
        };
        for (const space of [0, 1]) for (const n of [0, 1]) map(space, n);
        /** Address space behind a device's RID (key 0) and PASIDs; what succeeded counts. */
        const where = [new Map<number, number>(), new Map<number, number>()];
        for (const s of steps) {
          switch (s.kind) {
            case 'rid':
            case 'pasid': {
              const p = s.kind === 'pasid' ? s.pasid : 0;
              const t = tables[s.table]!;
              const input = p ? { flags: 1, pt_id: t.id, pasid: p } : { pt_id: t.id };
              const { errno } = b.ioctl('VFIO_DEVICE_ATTACH_IOMMUFD_PT', input, fds[s.device]!);
              expect(['0', 'EINVAL', 'EBUSY']).toContain(errno);
              if (errno === '0') where[s.device]!.set(p, t.space);
              break;
            }
            case 'clear':
              b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', s.pasid ? { flags: 1, pasid: s.pasid } : {}, fds[s.device]!);
              where[s.device]!.delete(s.pasid);
              break;
            case 'map':
              if (!mapped[s.space]!.has(s.page)) map(s.space, s.page);
              break;
            case 'unmap':
              if (!mapped[s.space]!.delete(s.page)) break;
              b.make('IOMMU_IOAS_UNMAP', { ioas_id: spaces[s.space]!, iova: iova(s.page), length: 4096 });
              break;
            case 'dma': {
              const d = b.devices[s.device]!;
              const request = { device: d, pasid: s.pasid || -1, iova: BigInt(iova(s.page)), write: true };
              const r = runToEnd(b.smmu.dma({ ...request, translated: s.translated && d.atsEnabled }));
              runToEnd(b.driver.interrupt());
              const space = where[s.device]!.get(s.pasid);
              const there = space !== undefined && mapped[space]!.has(s.page);
              expect(r.ok, JSON.stringify([s, r.fault?.name])).toBe(there);
              break;
            }
            case 'reset': {
              const { name } = b.devices[s.device]!;
              runToEnd(b.drivers.resetPrepare(name));
              if (s.inside && mapped[0]!.delete(0))
                b.make('IOMMU_IOAS_UNMAP', { ioas_id: spaces[0]!, iova: iova(0), length: 4096 });
              b.devices[s.device]!.reset();
              runToEnd(b.drivers.resetDone(name));
              break;
            }
          }
          expect(stale(b), JSON.stringify(s)).toEqual([]);
          for (const [handle, d] of b.driver.state.paging)
            expect([...d.invalidations], JSON.stringify(s)).toEqual(expectedInvalidations(b, handle));
        }
      }),
      { numRuns: 30 },
    );
  }, 30_000);
});
