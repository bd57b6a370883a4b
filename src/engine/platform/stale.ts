import { type TranslationCache, UID, type Verdict } from '../cache/index.ts';
import type { Hazard } from '../machine/index.ts';
import type { PciDevice } from '../pci/index.ts';
import type { Machine, Unit } from './machine.ts';

/** The configuration-cache entries that a fresh look-up would not give. */
export function staleRecords<E>(
  of: Iterable<E>,
  verdict: (e: E) => Verdict,
  hazard: (e: E, v: Verdict) => Hazard,
): Hazard[] {
  const out: Hazard[] = [];
  for (const e of of) {
    const v = verdict(e);
    if (v.state === 'differs') out.push(hazard(e, v));
  }
  return out;
}

/** The same for a translation cache, whose entries are places in it. */
function staleTranslations(
  c: TranslationCache,
  verdict: (i: number) => Verdict,
  hazard: (i: number, v: Verdict) => Hazard,
): Hazard[] {
  const out: Hazard[] = [];
  c.forEach((i) => {
    const v = verdict(i);
    if (v.state === 'differs') out.push(hazard(i, v));
  });
  return out;
}

/** The same for all translation caches of a unit and the ATCs of the devices behind it. */
export const staleBehind = (
  iommu: {
    readonly caches: { translation(): readonly TranslationCache[] };
    readonly audit: {
      verdict(c: TranslationCache, i: number): Verdict;
      atc(d: PciDevice, i: number): Verdict;
    };
  },
  devices: readonly PciDevice[],
  translation: (c: TranslationCache, i: number, v: Verdict) => Hazard,
  atc: (d: PciDevice, i: number, v: Verdict) => Hazard,
): Hazard[] => [
  ...iommu.caches.translation().flatMap((c) =>
    staleTranslations(
      c,
      (i) => iommu.audit.verdict(c, i),
      (i, v) => translation(c, i, v),
    ),
  ),
  ...devices.flatMap((d) =>
    staleTranslations(
      d.atc,
      (i) => iommu.audit.atc(d, i),
      (i, v) => atc(d, i, v),
    ),
  ),
];

/** What every hazard of a translation cache says of its entry. */
export const entryOf = (c: TranslationCache, i: number, at: string, cells: readonly string[], v: Verdict) => ({
  at,
  cache: c.name,
  entry: c.e[i + UID]!,
  cells,
  now: v.now,
  depends: v.depends,
});

/** The same of a configuration cache. */
export const recordOf = (
  at: string,
  cache: string,
  e: { readonly uid: number },
  cells: readonly string[],
  v: Verdict,
) => ({ at, cache, entry: e.uid, cells, now: v.now, depends: v.depends });

/** ` of smmu1` while there are several. */
export const ofUnit = (p: Machine, u: Unit): string => (p.units.length > 1 ? ` of ${u.name}` : '');

/** The device behind a unit that has a 16-bit source id. */
export const deviceOfRid = (u: Unit, rid: number): PciDevice | undefined =>
  u.devices.find((d) => (d.rid & 0xffff) === (rid & 0xffff));
