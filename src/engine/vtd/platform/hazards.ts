import { hex, hexPlain } from '../../bits/index.ts';
import { A, ATTR, B, inputOf, outputOf, SHIFT, SID, type TranslationCache, type Verdict } from '../../cache/index.ts';
import type { Hazard, Operation } from '../../machine/index.ts';
import { NO_PASID, type PciDevice } from '../../pci/index.ts';
import {
  commandOperation,
  deviceOfRid,
  entryOf,
  guestOfDevice,
  ofUnit,
  queueOf,
  recordOf,
  staleBehind,
  staleness,
} from '../../platform/index.ts';
import {
  type ContextEntry,
  configCells,
  deviceId,
  type PasidEntry,
  sceneOf,
  translationCells,
} from '../hardware/index.ts';
import { PGTT_SHIFT } from '../hardware/iotlb-tags.ts';
import { descriptorText, encodeDescriptor } from '../layout/index.ts';
import { deviceOf as infoOf, pasidEntry as pasidAddress } from '../linux/index.ts';
import { pasidEntryInTables, type VmmDevice, type VVtd } from '../vmm/index.ts';
import { type Bound, bindingOf } from './bindings.ts';
import { contextOf } from './entries.ts';
import { type PasidText, pasidText } from './entry-text.ts';
import type { Parts, Unit } from './parts.ts';

/** GSTS_REG.TES */
const TES = 0x8000_0000n;

/**
 * Every cached entry that a fresh walk would not give, with the descriptor that is missing, and every binding of a VMM that
 * is not what the guest's PASID entry says now. `depends` are the words that decide it.
 */
export const hazardsOf = (p: Parts): Hazard[] => [
  ...p.units.flatMap((u) => unitHazards(p, u)),
  ...p.devices.flatMap((d) => bindingHazards(p, d)),
];

function unitHazards(p: Parts, u: Unit): Hazard[] {
  const { caches, audit } = u.iommu;
  // Nothing is looked up while translation is off.
  if ((u.iommu.readRegister('GSTS_REG') & TES) === 0n) return [];
  const look = staleness(u.iommu, p.memory, u.devices);
  const entries = [...caches.pasid.values()].flatMap((of) => [...of.values()]);
  return [
    ...look.records(
      caches.context.values(),
      (e) => audit.config('Context', e),
      (e, v) => contextHazard(p, u, e, v),
    ),
    ...look.records(
      entries,
      (e) => audit.config('PASID', e),
      (e, v) => pasidHazard(p, u, e, v),
    ),
    ...staleBehind(
      look,
      u.iommu,
      u.devices,
      (c, i, v) => translationHazard(p, u, c, i, v),
      (d, i, v) => atcHazard(p, d, i, v),
    ),
  ];
}

const deviceName = (u: Unit, rid: number): string => deviceOfRid(u, rid)?.name ?? `source id ${hexPlain(rid)}`;

type Missing = { readonly missing: string; readonly remedy?: Operation };
type Fields = Readonly<Record<string, number | bigint>>;

const textOf = (name: string, fields: Fields): string => descriptorText(encodeDescriptor(name, fields)).text;

/** A descriptor that the host's driver has to send: no operation of the guest sends it. */
const byHost = (name: string, fields: Fields): Missing => ({ missing: textOf(name, fields) });

/** A guest's descriptor as an operation, and as text. */
function byGuest(p: Parts, d: PciDevice, name: string, fields: Fields): Missing {
  const queue = queueOf(p, d);
  const missing = textOf(name, fields);
  return queue ? { missing, remedy: commandOperation(queue, name, fields) } : { missing };
}

/** What a guest sends for a range of one of its page tables, which the host carries out for the device's ATC too. */
function guestFlush(p: Parts, d: PciDevice, b: Bound, address: bigint, shift: number, leaf: boolean): Missing {
  const fields = { G: 3, DID: b.vdid, PASID: b.binding.pasid, AM: shift - 12, ...(leaf ? { IH: 1 } : {}) };
  return byGuest(p, d, 'P_IOTLB_INV', { ...fields, ADDR: (address >> BigInt(shift)) << BigInt(shift) });
}

function contextHazard(p: Parts, u: Unit, e: ContextEntry, v: Verdict): Hazard {
  return {
    ...recordOf(u.iommu.ids.context, 'Context', e, configCells('Context', e), v),
    text: `The context cache${ofUnit(p, u)} still has an old entry for ${deviceName(u, e.rid)}.`,
    ...byHost('CC_INV', { G: 3, SID: e.rid }),
  };
}

function pasidHazard(p: Parts, u: Unit, e: PasidEntry, v: Verdict): Hazard {
  return {
    ...recordOf(u.iommu.ids.pasid, 'PASID', e, configCells('PASID', e), v),
    text: `The PASID cache${ofUnit(p, u)} still has an old entry for ${deviceName(u, e.rid)}, PASID ${hexPlain(e.pasid)}.`,
    ...byHost('PC_INV', { G: 1, DID: e.did, PASID: e.pasid }),
  };
}

function translationHazard(p: Parts, u: Unit, c: TranslationCache, i: number, v: Verdict): Hazard {
  const base = entryOf(c, i, sceneOf(c, u.iommu.ids), translationCells(c, i), v);
  const did = c.e[i + A]!;
  const pasid = c.e[i + B]!;
  const input = inputOf(c, i);
  const cache = `${c.name}${ofUnit(p, u)}`;
  const tag = `DID ${did}, PASID ${hexPlain(pasid)}`;
  if (c.name === 'SS walk')
    return {
      ...base,
      text: `The ${cache} cache still leads GPA ${hex(input)} of ${tag} through the table at ${hex(outputOf(c, i))}.`,
      ...byHost('IOTLB_INV', { G: 2, DID: did }),
    };
  const walk = c.name === 'FS walk';
  const text = `The ${cache} ${walk ? 'cache still leads' : 'still maps'} ${hex(input)} of ${tag} ${walk ? 'through the table at' : 'to PA'} ${hex(outputOf(c, i))}.`;
  const secondOnly = !walk && [2, 4].includes(c.e[i + ATTR]! >> PGTT_SHIFT);
  const filler = deviceOfRid(u, c.e[i + SID]!);
  const bound = bindingOf(p, filler, pasid);
  // What the second stage made stale only the host can remove.
  if (v.stage2 || secondOnly || !filler || !bound || bound.binding.hwpt === 0)
    return { ...base, text, ...byHost('IOTLB_INV', { G: 2, DID: did }) };
  return { ...base, text, ...guestFlush(p, filler, bound, input, c.e[i + SHIFT]!, !walk) };
}

function atcHazard(p: Parts, d: PciDevice, i: number, v: Verdict): Hazard {
  const c = d.atc;
  const input = inputOf(c, i);
  const tag = c.e[i + B]!;
  const pasid = tag === NO_PASID ? 0 : tag;
  const shift = c.e[i + SHIFT]!;
  const bound = bindingOf(p, d, pasid);
  const sid = { SID: d.rid & 0xffff, ADDR: input };
  return {
    ...entryOf(c, i, deviceId(d), translationCells(c, i), v),
    text: `${d.name} still maps ${hex(input)}${tag === NO_PASID ? '' : ` of PASID ${hexPlain(tag)}`} to PA ${hex(outputOf(c, i))} in its ATC.`,
    ...(tag === NO_PASID ? byHost('DEV_TLB_INV', sid) : byHost('P_DEV_TLB_INV', { ...sid, PASID: tag })),
    // A guest's own descriptor for the device ends in the VMM; a flush of its page table makes the host's driver send one,
    // unless the document has broken the driver.
    ...(!v.stage2 &&
      bound &&
      bound.binding.hwpt !== 0 &&
      !p.spec.deviations.some((name) => name.startsWith('host.')) && {
        remedy: guestFlush(p, d, bound, input, shift, true).remedy,
      }),
  };
}

/** `FS only · DID 2 · FS 0x5000_5000`: where the table lies as well. */
const fullText = (t: PasidText): string => [t.text, ...t.tables].join(' · ');

/** What the entry says now, or that its main fields are as they were. */
const differing = (was: string, now: string): string => (was === now ? 'the same but for other bits' : now);

const same = (a: readonly bigint[], b: readonly bigint[]): boolean => a.every((w, i) => w === b[i]);

/**
 * What the VMM has bound, or not bound, is what it last read of the guest's PASID entries: a cache of them, not-present ones
 * included (caching mode). Neither cache nor table of the host shows when they are others now.
 */
function bindingHazards(p: Parts, d: PciDevice): Hazard[] {
  const { vmm, memory } = guestOfDevice(p, d);
  const unit = vmm.units.find((u) => u.state.devices.some((x) => x.name === d.name));
  const device = unit?.deviceOf(d.name);
  if (!unit || !device || (unit.readVirtual('GSTS_REG') & TES) === 0n) return [];
  const of = (pasid: number): string => `PASID ${hexPlain(pasid)} of ${d.name}`;
  const hazard = (pasid: number, did: number, was: string, now: string, text: string): Hazard => ({
    at: unit.ids.viommu,
    cache: 'PASID bindings',
    entry: device.devid * 2 ** 20 + pasid,
    cells: [d.name, hexPlain(pasid), was],
    text,
    now,
    depends: entryWords(p, d, pasid).map((gpa) => memory.resolve(gpa)),
    ...byGuest(p, d, 'PC_INV', { G: 1, DID: did, PASID: pasid }),
  });
  const changed = device.bindings.flatMap(({ pasid, entry }): Hazard[] => {
    // Without a PASID 0 entry QEMU would find none; the table still has it.
    const now = pasidEntryInTables(unit, device.vrid, pasid);
    if (typeof now !== 'number' && same(entry, now)) return [];
    const was = pasidText(entry);
    const before = fullText(was);
    const becomes = typeof now === 'number' ? 'no PASID entry' : differing(before, fullText(pasidText(now)));
    return [hazard(pasid, was.did, was.text, becomes, `The VMM still has ${of(pasid)} bound as it was: ${before}.`)];
  });
  return [...changed, ...unseen(unit, device, hazard, of)];
}

/**
 * A PASID 0 entry that the VMM has not heard of: until it has, the device's accesses go to guest memory untranslated. Those
 * of other PASIDs end in a fault that everybody sees; besides, the VMM overlooks one that was there before PASID 0 was.
 */
function unseen(
  unit: VVtd,
  device: VmmDevice,
  hazard: (pasid: number, did: number, was: string, now: string, text: string) => Hazard,
  of: (pasid: number) => string,
): Hazard[] {
  if (device.bindings.some((b) => b.pasid === 0)) return [];
  const now = pasidEntryInTables(unit, device.vrid, 0);
  if (typeof now === 'number') return [];
  const is = pasidText(now);
  return [hazard(0, is.did, 'not bound', is.text, `The VMM has not seen that ${of(0)} is there: ${is.text}.`)];
}

/** Guest physical addresses of the words that lead to a PASID's page table. */
function entryWords(p: Parts, d: PciDevice, pasid: number): number[] {
  const { kernel } = guestOfDevice(p, d).linux;
  if (!kernel.state.devices.some((x) => x.name === d.name)) return [];
  const info = infoOf(kernel, d.name);
  const words = (at: number | null | undefined, n: number): number[] =>
    typeof at === 'number' ? Array.from({ length: n }, (_, i) => at + 8 * i) : [];
  const directory = info.pasidTable && info.pasidTable.directory + Math.floor(pasid / 64) * 8;
  return [
    ...words(pasidAddress(kernel, info, pasid), 8),
    ...words(directory, 1),
    ...words(contextOf(kernel, info)?.address, 4),
  ];
}
