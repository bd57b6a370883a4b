import type { DeviceSpec, PlatformSpec } from '../machine/vendor.ts';
import { readRid, toBigint } from './number.ts';
import type { ScenarioDocument } from './schema.ts';

/** What a document says about the machine, with every default filled in. */

const GiB = 2 ** 30;

/** Sizes of the host pages behind a guest's memory. */
export const backings = { '4KiB': 4096, '2MiB': 2 ** 21, '1GiB': 2 ** 30 } as const;

/** Name of a guest that is the only one and has none. */
const onlyGuest = 'guest';

/** What the kernel calls a unit, before its number; another IOMMU's units have its own name. */
const unitWords: Readonly<Record<string, string>> = { smmuv3: 'smmu', vtd: 'dmar' };

const bytes = (v: string | number | undefined, otherwise: number): number =>
  v === undefined ? otherwise : Number(toBigint(v) ?? BigInt(otherwise));

/** Sizes in bytes. The document must have been checked. */
export function platformSpec(doc: ScenarioDocument): PlatformSpec {
  const p = doc.platform;
  const memory = bytes(p.memory, 8 * GiB);
  const named = p.guests?.length ? p.guests : [{ name: onlyGuest, ...p.guest }];
  const share = Math.floor(memory / (4 * named.length) / 4096) * 4096;
  const guests = named.map((g) => ({
    name: g.name,
    memory: bytes(g.memory, Math.min(GiB, share)),
    base: bytes(g.base, 0x4000_0000),
    backing: backings[g.backing ?? '2MiB'],
  }));
  return {
    iommu: p.iommu,
    features: { ...p.features },
    memory,
    iommus: p.iommus ?? [`${unitWords[p.iommu] ?? p.iommu}0`],
    guest: guests[0]!,
    guests,
    policy: Object.fromEntries(
      Object.entries(p.policy ?? {}).map(([name, v]) => [
        name,
        name === 'batch' ? bytes(v, 1) : (v as string | number),
      ]),
    ),
    deviations: [...(p.deviations ?? [])],
    setup: doc.setup ?? 'booted',
  };
}

/**
 * The devices in the document's order. A device without `vrid` gets the lowest free slot of its guest's bus 0 from
 * 0000:00:01.0 on.
 */
export function deviceSpecs(doc: ScenarioDocument): DeviceSpec[] {
  const devices = doc.devices ?? [];
  const first = doc.platform.guests?.[0]?.name ?? onlyGuest;
  const key = (d: { readonly guest?: string | undefined }): string => d.guest ?? first;
  const taken = new Set(devices.flatMap((d) => (d.vrid === undefined ? [] : [`${key(d)} ${readRid(d.vrid) ?? 0}`])));
  const next = new Map<string, number>();
  return devices.map((d) => {
    let vrid = d.vrid === undefined ? undefined : readRid(d.vrid);
    if (vrid === undefined) {
      vrid = next.get(key(d)) ?? 8;
      while (taken.has(`${key(d)} ${vrid}`)) vrid += 8;
      next.set(key(d), vrid + 8);
    }
    return {
      name: d.name,
      rid: readRid(d.rid) ?? 0,
      vrid,
      pasidBits: bytes(d.pasidBits, 16),
      // One that stalls has its pages made while it waits; the SMMU does not let it ask for translations too.
      ats: d.ats ?? !d.stall,
      pri: d.pri ?? false,
      ...(d.stall === undefined ? {} : { stall: d.stall }),
      ...(d.iommu === undefined ? {} : { iommu: d.iommu }),
      ...(d.guest === undefined ? {} : { guest: d.guest }),
      ...(d.viommu === undefined ? {} : { viommu: d.viommu }),
    };
  });
}
