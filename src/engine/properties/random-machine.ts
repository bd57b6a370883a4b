import { checkScenario } from '../document/authoring.ts';
import { type ScenarioDocument, Session, type SessionLimits } from '../document/index.ts';
import type { Platform, Vendor } from '../machine/index.ts';
import type { Difference } from './brute-force.ts';

/** Random documents of whole machines: what guest, VMM and devices do, in any order, through the session's interface. */

/** What the properties ask of a vendor. */
export interface Kind {
  readonly vendor: Vendor;
  /** Invalidations that a guest may send whenever it likes. */
  readonly commands: readonly object[];
  /** The widest one of configuration. */
  readonly widest: object;
  /** Accesses that the caches answer otherwise than memory does, by a walker of the vendor's own. */
  readonly differences: (platform: Platform, addresses: Addresses) => Difference[];
  /** Accesses that end elsewhere than the guests' own tables say. */
  readonly againstGuest?: (platform: Platform, addresses: Addresses) => Difference[];
  /** Inputs that once failed, by property. */
  readonly regressions: Readonly<Record<Property, readonly (readonly unknown[])[]>>;
}

export type Property = 'guests' | 'obeys' | 'deviations' | 'replay';

export interface MachineForm {
  readonly deviations?: readonly string[];
  readonly features?: Readonly<Record<string, boolean | number | string>>;
  readonly policy?: Readonly<Record<string, string | number>>;
  /** Names; one guest without a name when absent. */
  readonly guests?: readonly string[];
  readonly iommus?: readonly string[];
}

export interface DeviceForm {
  readonly name: string;
  readonly rid: string;
  readonly vrid: string;
  readonly ats: boolean;
  readonly pasidBits: number;
  readonly pri?: boolean;
  readonly guest?: string;
  readonly iommu?: string;
}

const oneGuest: readonly DeviceForm[] = [
  { name: 'nic0', rid: '0000:01:00.0', vrid: '0000:00:01.0', ats: true, pasidBits: 4, pri: true },
  { name: 'nic1', rid: '0000:02:00.0', vrid: '0000:00:02.0', ats: false, pasidBits: 4 },
];

/** Each of two guests has a device with an ATC and, when there are two units, they are behind different ones. */
export function devicesOf(m: MachineForm): readonly DeviceForm[] {
  if (!m.guests)
    return m.iommus ? oneGuest.map((d, i) => ({ ...d, iommu: m.iommus![i % m.iommus!.length]! })) : oneGuest;
  return m.guests.flatMap((guest, g) =>
    oneGuest.map((d, i) => ({ ...d, name: `${guest}.${d.name}`, rid: `0000:0${1 + g}:0${i}.0`, guest })),
  );
}

function documentOf(k: Kind, m: MachineForm, steps: readonly unknown[]): ScenarioDocument {
  const r = checkScenario({
    format: 'iommuscope/1',
    title: 'random',
    platform: {
      iommu: k.vendor.name,
      memory: '2GiB',
      ...(m.guests ? { guests: m.guests.map((name) => ({ name, memory: '64MiB' })) } : { guest: { memory: '64MiB' } }),
      ...(m.iommus ? { iommus: m.iommus } : {}),
      ...(m.features ? { features: m.features } : {}),
      ...(m.policy ? { policy: m.policy } : {}),
      ...(m.deviations ? { deviations: m.deviations } : {}),
    },
    devices: devicesOf(m),
    setup: 'booted',
    steps,
  });
  if (!r.ok) throw new Error(`${r.error.path}: ${r.error.message}`);
  return r.document;
}

export const sessionOf = (k: Kind, m: MachineForm, steps: readonly unknown[] = [], limits?: SessionLimits): Session =>
  new Session(documentOf(k, m, steps), undefined, limits);

export const hex = (n: number): string => `0x${n.toString(16)}`;
/** Memory that the VMM plugs and unplugs: two megabytes outside the guest's ordinary memory. */
export const HOT = 0x9000_0000;
/** A region of two megabytes: a block with pages of 4 KiB, or so many pages. */
export const BLOCK = 0x20_0000;
export const PASIDS: readonly number[] = [1, 2];

/** Addresses that the steps use: pages that touch each other, two in ordinary memory and two in the hot part. */
export interface Addresses {
  readonly page: number;
  readonly iovas: readonly number[];
  readonly gpas: readonly number[];
}

export function addressesOf(m: MachineForm): Addresses {
  const page = { '16KiB': 0x4000, '64KiB': 0x1_0000 }[String(m.features?.['guestPage'])] ?? 0x1000;
  const at = (base: number, n: number): number[] => Array.from({ length: n }, (_, i) => base + i * page);
  return { page, iovas: at(0x10000, 3), gpas: [...at(0x4020_0000, 2), ...at(HOT, 2)] };
}
