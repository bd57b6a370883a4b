import { type TranslationCache, UID, type Verdict } from '../cache/index.ts';
import type { Hazard } from '../machine/index.ts';
import type { Memory } from '../memory/index.ts';
import type { PciDevice } from '../pci/index.ts';
import type { Machine, Unit } from './machine.ts';

interface Compared {
  key: string;
  /** By cache: id of its newest entry that has been compared, and ids of those that differed. */
  readonly caches: Map<TranslationCache, { last: number; readonly differing: Set<number> }>;
  /** Entries of configuration caches that are as memory has them. */
  records: WeakSet<object>;
}

const compared = new WeakMap<object, Compared>();

/** Everything besides memory that decides what a fresh walk of a unit gives. */
interface Deciding {
  readonly regs: { save(): unknown };
}

/**
 * What has been compared while memory, registers and devices were as they are now: a verdict depends on nothing else, so
 * only entries that are new since then, and those that differed, have to be looked at.
 */
function comparedOf(unit: Deciding, memory: Memory, devices: readonly PciDevice[]): Compared {
  let c = compared.get(unit);
  if (!c) compared.set(unit, (c = { key: '', caches: new Map(), records: new WeakSet() }));
  const text = (_: string, v: unknown): unknown => (typeof v === 'bigint' ? `${v}n` : v);
  const ats = devices.map((d) => `${Number(d.atsEnabled)}${Number(d.pasidEnabled)}`).join('');
  const key = `${memory.generation} ${ats} ${JSON.stringify(unit.regs.save(), text)}`;
  if (c.key !== key) {
    c.key = key;
    c.caches.clear();
    c.records = new WeakSet();
  }
  return c;
}

/** Looks for stale entries of one unit now. Whoever asks must not change anything in between. */
export function staleness(unit: Deciding, memory: Memory, devices: readonly PciDevice[]) {
  const known = comparedOf(unit, memory, devices);
  return {
    /** The configuration-cache entries that a fresh look-up would not give. */
    records<E extends object>(
      of: Iterable<E>,
      verdict: (e: E) => Verdict,
      hazard: (e: E, v: Verdict) => Hazard,
    ): Hazard[] {
      const out: Hazard[] = [];
      for (const e of of) {
        if (known.records.has(e)) continue;
        const v = verdict(e);
        if (v.state === 'differs') out.push(hazard(e, v));
        else known.records.add(e);
      }
      return out;
    },
    /** The same for a translation cache, whose entries are places in it. */
    translations(
      c: TranslationCache,
      verdict: (i: number) => Verdict,
      hazard: (i: number, v: Verdict) => Hazard,
    ): Hazard[] {
      let of = known.caches.get(c);
      if (!of) known.caches.set(c, (of = { last: 0, differing: new Set() }));
      const { last, differing } = of;
      const out: Hazard[] = [];
      const look = (i: number): void => {
        const uid = c.e[i + UID]!;
        if (uid <= last && !differing.has(uid)) return;
        const v = verdict(i);
        if (v.state !== 'differs') return;
        differing.add(uid);
        out.push(hazard(i, v));
      };
      if (differing.size === 0) c.forEachAfter(last, look);
      else c.forEach(look);
      of.last = c.newestUid;
      return out;
    },
  };
}

export type Staleness = ReturnType<typeof staleness>;

/** The same for all translation caches of a unit and the ATCs of the devices behind it. */
export const staleBehind = (
  look: Staleness,
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
    look.translations(
      c,
      (i) => iommu.audit.verdict(c, i),
      (i, v) => translation(c, i, v),
    ),
  ),
  ...devices.flatMap((d) =>
    look.translations(
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
