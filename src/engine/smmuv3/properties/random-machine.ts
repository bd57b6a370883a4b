import fc from 'fast-check';
import { checkScenario } from '../../document/authoring.ts';
import { type ScenarioDocument, Session, type SessionLimits, type Step } from '../../document/index.ts';
import type { Platform } from '../../machine/index.ts';
import type { Memory } from '../../memory/index.ts';
import type { PciDevice } from '../../pci/index.ts';
import type { Smmu } from '../hardware/index.ts';
import { smmuv3Vendor } from '../index.ts';
import type { Smmuv3Platform } from '../platform/platform.ts';

/** Random documents of whole machines: what guest, VMM and devices do, in any order, through the session's interface. */

export interface MachineForm {
  readonly deviations?: readonly string[];
  readonly features?: Readonly<Record<string, boolean | number | string>>;
  readonly policy?: Readonly<Record<string, string | number>>;
  /** Names; one guest without a name when absent. */
  readonly guests?: readonly string[];
  readonly iommus?: readonly string[];
}

interface DeviceForm {
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
  if (!m.guests) return m.iommus ? oneGuest.map((d, i) => ({ ...d, iommu: m.iommus![i % m.iommus!.length]! })) : oneGuest;
  return m.guests.flatMap((guest, g) =>
    oneGuest.map((d, i) => ({ ...d, name: `${guest}.${d.name}`, rid: `0000:0${1 + g}:0${i}.0`, guest })),
  );
}

export function documentOf(m: MachineForm, steps: readonly unknown[]): ScenarioDocument {
  const r = checkScenario({
    format: 'iommuscope/1',
    title: 'random',
    platform: {
      iommu: 'smmuv3',
      memory: '2GiB',
      ...(m.guests
        ? { guests: m.guests.map((name) => ({ name, memory: '64MiB' })) }
        : { guest: { memory: '64MiB' } }),
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

export const sessionOf = (m: MachineForm, steps: readonly unknown[] = [], limits?: SessionLimits): Session =>
  new Session(documentOf(m, steps), undefined, limits);

const hex = (n: number): string => `0x${n.toString(16)}`;
/** Addresses that the steps use: pages that touch, and one block. */
export const IOVAS: readonly number[] = [0x10000, 0x11000, 0x12000];
export const BLOCK = 0x20_0000;
/** Memory that the VMM plugs and unplugs: two megabytes outside the guest's ordinary memory. */
const HOT = 0x9000_0000;
export const GPAS: readonly number[] = [0x40200000, 0x40201000, HOT, HOT + 0x1000];
export const PASIDS: readonly number[] = [1, 2];
const MiB2 = '2MiB';

type Chunk = readonly Step[];
const modelled = (name: string): boolean => smmuv3Vendor.operations?.includes(name) ?? true;

/**
 * One thing that happens, as one or several steps that belong together. All of it is what a correct guest and VMM may
 * do: whatever is wrong afterwards is the fault of a deviation, or of the engine.
 */
export function chunk(m: MachineForm): fc.Arbitrary<Chunk> {
  const device = fc.constantFrom(...devicesOf(m));
  const iova = fc.constantFrom(...IOVAS).map(hex);
  const gpa = fc.constantFrom(...GPAS).map(hex);
  const domain = fc.constantFrom('dma0', 'dma0', 'dma1');
  const process = fc.constantFrom('app0', 'app1');
  const pasid = fc.constantFrom(...PASIDS);
  const perm = fc.constantFrom('rw', 'rw', 'r');
  const access = fc.constantFrom('read', 'write');
  const guestOf = (d: DeviceForm): { guest?: string } => (d.guest ? { guest: d.guest } : {});
  const list: { weight: number; does: readonly string[]; arbitrary: fc.Arbitrary<readonly object[]> }[] = [];
  const add = (weight: number, does: string | readonly string[], arbitrary: fc.Arbitrary<object | readonly object[]>): void => {
    const names = typeof does === 'string' ? [does] : does;
    list.push({
      weight,
      does: names,
      arbitrary: arbitrary.map((x) => {
        const steps = (Array.isArray(x) ? x : [x]) as object[];
        return steps.map((s, i) => ('do' in s ? s : { do: names[Math.min(i, names.length - 1)], ...s }));
      }),
    });
  };
  add(4, 'guest.attach', fc.record({ d: device, domain: fc.constantFrom('dma0', 'dma0', 'dma1', 'bypass', 'blocked') }).map(({ d, domain }) => ({ device: d.name, domain, ...guestOf(d) })));
  add(1, 'guest.detach', device.map((d) => ({ device: d.name, ...guestOf(d) })));
  const mapped = fc.record({ d: device, domain, iova, gpa, perm });
  add(7, 'guest.map', mapped.map(({ d, ...r }) => ({ ...r, ...guestOf(d) })));
  add(2, 'guest.map', fc.record({ d: device, domain, gpa: fc.constantFrom(GPAS[0]!, HOT) }).map(({ d, domain, gpa }) => ({ domain, iova: hex(BLOCK), gpa: hex(gpa), size: MiB2, ...guestOf(d) })));
  const unmapped = fc.record({ d: device, domain, iova: fc.constantFrom(...IOVAS, BLOCK).map(hex), pages: fc.constantFrom(1, 1, 1, 1, 3) }).map(({ d, domain, iova, pages }) => ({ domain, iova, size: iova === hex(BLOCK) ? MiB2 : hex(pages * 4096), ...guestOf(d) }));
  add(6, 'guest.unmap', unmapped.map((u) => ({ ...u, flush: 'strict' })));
  // What makes the rest worth anything: an address that is used and then goes.
  add(4, ['guest.map', 'device.dma', 'device.dma', 'guest.unmap'], fc.record({ m: mapped, d: device, access, ats: fc.boolean() }).map(({ m, d, access, ats }) => {
    const g = guestOf(d);
    const at = { domain: m.domain, iova: m.iova };
    return [{ ...at, gpa: m.gpa, ...g }, { device: d.name, iova: m.iova, access }, { device: d.name, iova: m.iova, access, ats: ats ? 'translated' : 'untranslated' }, { ...at, ...g }];
  }));
  // What a lazy guest puts off is stale until it flushes; it does not use the address again before.
  add(2, ['guest.unmap', 'guest.flush'], unmapped.map((u) => [{ ...u, flush: 'queued' }, { ...(u.guest ? { guest: u.guest } : {}) }]));
  const reach = fc.constantFrom(...IOVAS, ...IOVAS, BLOCK, BLOCK + 0x3000, GPAS[0]!);
  add(10, 'device.dma', fc.record({ d: device, iova: reach.map(hex), access, ats: fc.constantFrom('untranslated', 'translated') }).map(({ d, ...r }) => ({ device: d.name, ...r })));
  add(3, 'device.dma', fc.record({ d: device, pasid, iova: reach.map(hex), access, ats: fc.constantFrom('untranslated', 'translated') }).map(({ d, ...r }) => ({ device: d.name, ...r })));
  add(2, 'device.ats', fc.record({ d: device, iova: reach.map(hex), access }).map(({ d, ...r }) => ({ device: d.name, ...r })));
  add(2, ['device.dma', 'device.dma', 'vmm.unmap', 'vmm.map'], fc.record({ d: device, again: fc.boolean() }).map(({ d, again }) => {
    const hot = { gpa: hex(HOT), size: MiB2, ...guestOf(d) };
    const at = { device: d.name, iova: hex(IOVAS[2]!) };
    const steps: object[] = [at, { ...at, ats: 'translated' }, { do: 'vmm.unmap', ...hot }];
    return again ? [...steps, { do: 'vmm.map', ...hot }] : steps;
  }));
  // A table of pages where a block was or will be: its removal must reach the walk caches.
  add(2, ['guest.unmap', 'guest.map', 'device.dma', 'device.dma', 'guest.unmap', 'guest.map'], fc.record({ d: device, ats: fc.boolean() }).map(({ d, ats }) => {
    const block = { domain: 'dma0', iova: hex(BLOCK), size: MiB2, ...guestOf(d) };
    const use = { device: d.name, iova: hex(BLOCK + 0x3000) };
    return [block, { ...block, gpa: '0x40201000' }, use, { ...use, ats: ats ? 'translated' : 'untranslated' }, block, { ...block, gpa: '0x40200000' }];
  }));
  add(1, 'vmm.unmap', device.map((d) => ({ gpa: hex(HOT), size: MiB2, ...guestOf(d) })));
  add(1, 'vmm.map', device.map((d) => ({ gpa: hex(HOT), size: MiB2, ...guestOf(d) })));
  add(1, 'vmm.unplug', device.map((d) => ({ device: d.name, ...guestOf(d) })));
  add(1, 'vmm.plug', device.map((d) => ({ device: d.name, ...guestOf(d) })));
  add(1, 'guest.invalidate', fc.record({ d: device, command: fc.constantFrom<object>({ name: 'TLBI_NSNH_ALL' }, { name: 'TLBI_NH_ASID', ASID: 1 }, { name: 'CFGI_STE_RANGE', Range: 31 }, { name: 'TLBI_NH_VAA', Address: '0x10000' }) }).map(({ d, command }) => ({ command, ...guestOf(d) })));
  if (modelled('guest.bind')) {
    add(2, 'guest.attach', fc.record({ d: device, domain, pasid }).map(({ d, ...r }) => ({ device: d.name, ...r, ...guestOf(d) })));
    add(1, 'guest.detach', fc.record({ d: device, pasid }).map(({ d, pasid }) => ({ device: d.name, pasid, ...guestOf(d) })));
    add(2, 'guest.bind', fc.record({ d: device, process }).map(({ d, process }) => ({ device: d.name, process, ...guestOf(d) })));
    add(1, 'guest.unbind', fc.record({ d: device, process }).map(({ d, process }) => ({ device: d.name, process, ...guestOf(d) })));
    add(1, 'guest.exit', fc.record({ d: device, process }).map(({ d, process }) => ({ process, ...guestOf(d) })));
    add(3, 'guest.map', fc.record({ d: device, domain: process, iova, gpa, perm, present: fc.constantFrom(true, true, false) }).map(({ d, ...r }) => ({ ...r, ...guestOf(d) })));
    add(3, 'guest.unmap', fc.record({ d: device, domain: process, iova }).map(({ d, ...r }) => ({ ...r, ...guestOf(d) })));
  }
  if (modelled('device.pri')) add(2, 'device.pri', fc.record({ d: device, pasid, iova, access, group: fc.nat({ max: 2 }), last: fc.boolean() }).map(({ d, ...r }) => ({ device: d.name, ...r })));
  if (modelled('device.reset')) add(1, 'device.reset', device.map((d) => ({ device: d.name })));
  return fc.oneof(...list.filter((x) => x.does.every(modelled)).map(({ weight, arbitrary }) => ({ weight, arbitrary: arbitrary as fc.Arbitrary<Chunk> })));
}

/** A whole run; it begins with what makes the rest worth anything. */
export function run(m: MachineForm, size: { min: number; max: number }): fc.Arbitrary<Chunk[]> {
  const start = devicesOf(m).flatMap((d) => {
    const g = d.guest ? { guest: d.guest } : {};
    return [
      { do: 'guest.attach', device: d.name, domain: 'dma0', ...g },
      { do: 'vmm.map', gpa: hex(HOT), size: MiB2, ...g },
      ...IOVAS.map((iova, i) => ({ do: 'guest.map', domain: 'dma0', iova: hex(iova), gpa: hex(GPAS[i]!), ...g })),
      ...IOVAS.map((iova) => ({ do: 'device.dma', device: d.name, iova: hex(iova), ats: 'translated' })),
    ] as unknown as Step[];
  });
  return fc.array(chunk(m), { minLength: size.min, maxLength: size.max }).map((c) => [start, ...c]);
}

export interface Unit {
  readonly smmu: Smmu;
  readonly memory: Memory;
  readonly devices: readonly PciDevice[];
}

/** The machine's units with the devices behind them, as the platform stands now. */
export function unitsOf(platform: Platform): readonly Unit[] {
  const { memory, units } = (platform as Smmuv3Platform).parts;
  return units.map(({ smmu, devices }) => ({ smmu, memory, devices }));
}
