import type { TranslationCache } from '../cache/index.ts';
import { UID } from '../cache/index.ts';
import type { Hazard } from '../machine/index.ts';
import type { PciDevice } from '../pci/index.ts';
import type { Machine, Unit } from './machine.ts';

/** What a fresh look-up says about a cached entry. */
export interface Verdict {
  readonly state: 'same' | 'differs' | 'unreachable';
  readonly now: string;
  readonly depends: readonly number[];
  /** The guest's own tables still say the same: the second stage is what changed. */
  readonly stage2?: boolean;
}

/** The configuration-cache entries that a fresh look-up would not give. */
export function staleRecords<E, V extends Verdict>(
  of: Iterable<E>,
  verdict: (e: E) => V,
  hazard: (e: E, v: V) => Hazard,
): Hazard[] {
  const out: Hazard[] = [];
  for (const e of of) {
    const v = verdict(e);
    if (v.state === 'differs') out.push(hazard(e, v));
  }
  return out;
}

/** The same for a translation cache, whose entries are places in it. */
export function staleTranslations<V extends Verdict>(
  c: TranslationCache,
  verdict: (i: number) => V,
  hazard: (i: number, v: V) => Hazard,
): Hazard[] {
  const out: Hazard[] = [];
  c.forEach((i) => {
    const v = verdict(i);
    if (v.state === 'differs') out.push(hazard(i, v));
  });
  return out;
}

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
