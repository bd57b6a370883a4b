import { hex, hexPlain } from '../../bits/index.ts';
import { A, B, GLOBAL, SHIFT, SID, type TranslationCache, type Verdict } from '../../cache/index.ts';
import type { Hazard, Operation } from '../../machine/index.ts';
import { NO_PASID, type PciDevice } from '../../pci/index.ts';
import { commandOperation, entryOf, ofUnit, queueOf, recordOf, staleBehind, staleness } from '../../platform/index.ts';
import {
  type CdConfig,
  configCells,
  deviceId,
  inputOf,
  type L1Entry,
  outputOf,
  type SteConfig,
  sceneOf,
  translationCells,
} from '../hardware/index.ts';
import { commandText, encodeCommand } from '../layout/index.ts';
import type { Parts, Unit } from './parts.ts';

const SMMUEN = 1;

/**
 * Every cached entry that a fresh walk would not give, with the command that is missing. `depends` are the words that
 * decide it, so that the write can be found that made the entry stale.
 */
export const hazardsOf = (p: Parts): Hazard[] => p.units.flatMap((u) => unitHazards(p, u));

function unitHazards(p: Parts, u: Unit): Hazard[] {
  const { caches, audit, regs } = u.iommu;
  // Nothing is looked up while the SMMU is off.
  if ((regs.num('CR0') & SMMUEN) === 0) return [];
  const look = staleness(u.iommu, p.memory, u.devices);
  const cds = [...caches.cd.values()].flatMap((of) => [...of.values()]);
  const level1 = (name: 'L1STD' | 'L1CD', of: Iterable<L1Entry>): Hazard[] =>
    look.records(
      of,
      (e) => audit.config(name, e),
      (e, v) => l1Hazard(p, u, name, e, v),
    );
  return [
    ...look.records(
      caches.ste.values(),
      (e) => audit.config('STE', e),
      (e, v) => steHazard(p, u, e, v),
    ),
    ...look.records(
      cds,
      (e) => audit.config('CD', e),
      (e, v) => cdHazard(p, u, e, v),
    ),
    ...level1('L1STD', caches.l1std.values()),
    ...level1('L1CD', caches.l1cd.values()),
    ...staleBehind(
      look,
      u.iommu,
      u.devices,
      (c, i, v) => translationHazard(p, u, c, i, v),
      (d, i, v) => atcHazard(p, d, i, v),
    ),
  ];
}

/** ` smmu1` while there are several. */
const named = (p: Parts, u: Unit): string => (p.units.length > 1 ? ` ${u.name}` : '');

const deviceOf = (u: Unit, sid: number): PciDevice | undefined => u.devices.find((d) => d.rid === sid);
/** StreamIDs as the guest knows them; the physical one where the guest has none. */
const guestSid = (u: Unit, sid: number): number => deviceOf(u, sid)?.vrid ?? sid;
const deviceName = (u: Unit, sid: number): string => deviceOf(u, sid)?.name ?? `stream ${hexPlain(sid)}`;

/** The guest's command as an operation, and as text. */
function remedy(
  p: Parts,
  d: PciDevice | undefined,
  name: string,
  fields: Record<string, number | bigint>,
): { missing: string; remedy?: Operation } {
  const missing = commandText(encodeCommand(name, fields)).text;
  const queue = queueOf(p, d);
  return queue ? { missing, remedy: commandOperation(queue, name, fields) } : { missing };
}

function steHazard(p: Parts, u: Unit, e: SteConfig, v: Verdict): Hazard {
  return {
    ...recordOf(u.iommu.ids.config, 'STE', e, configCells('STE', e), v),
    text: `The SMMU${named(p, u)} still uses an old STE for ${deviceName(u, e.sid)} (StreamID ${hex(e.sid)}).`,
    ...remedy(p, deviceOf(u, e.sid), 'CFGI_STE', { SID: guestSid(u, e.sid), Leaf: 1 }),
  };
}

function cdHazard(p: Parts, u: Unit, e: CdConfig, v: Verdict): Hazard {
  return {
    ...recordOf(u.iommu.ids.config, 'CD', e, configCells('CD', e), v),
    text: `The SMMU${named(p, u)} still uses an old CD for ${deviceName(u, e.sid)} (StreamID ${hex(e.sid)}, SSID ${e.ssid}).`,
    ...remedy(p, deviceOf(u, e.sid), 'CFGI_CD', { SID: guestSid(u, e.sid), SSID: e.ssid, Leaf: 1 }),
  };
}

function l1Hazard(p: Parts, u: Unit, name: 'L1STD' | 'L1CD', e: L1Entry, v: Verdict): Hazard {
  return {
    ...recordOf(u.iommu.ids.config, name, e, configCells(name, e), v),
    text: `The SMMU${named(p, u)} still uses an old ${name} (${hexPlain(e.word)}).`,
    missing: name === 'L1STD' ? 'CFGI_STE without Leaf' : 'CFGI_CD without Leaf',
  };
}

function translationHazard(p: Parts, u: Unit, c: TranslationCache, i: number, v: Verdict): Hazard {
  const base = entryOf(c, i, sceneOf(c, u.iommu.ids), translationCells(c, i), v);
  const vmid = c.e[i + A]!;
  const input = inputOf(c, i);
  const cache = `${c.name}${ofUnit(p, u)}`;
  if (c.name === 'S2 TLB' || c.name === 'S2 walk')
    return {
      ...base,
      text: `The ${cache} still has IPA ${hex(input)} of VMID ${vmid} at ${hex(outputOf(c, i))}.`,
      missing: `TLBI_S2_IPA vmid ${vmid} ipa ${hexPlain(input)}, then TLBI_NH_ALL vmid ${vmid}`,
    };
  const walk = c.name === 'S1 walk';
  const text = `The ${cache} ${walk ? 'cache still leads' : 'still maps'} VA ${hex(input)} of VMID ${vmid} ${walk ? 'through the table at' : 'to PA'} ${hex(outputOf(c, i))}.`;
  const global = c.e[i + B] === GLOBAL;
  // What stage 2 made stale only the host can remove.
  if (v.stage2) return { ...base, text, missing: `TLBI_NH_ALL vmid ${vmid} (after TLBI_S2_IPA)` };
  const leaf: Record<string, number> = walk ? {} : { Leaf: 1 };
  // Units of one guest share the parent's VMID: the queue of whoever filled the entry reaches it.
  const filler = deviceOf(u, c.e[i + SID]! >>> 0);
  return {
    ...base,
    text,
    ...(global
      ? remedy(p, filler, 'TLBI_NH_VAA', { Address: input, ...leaf })
      : remedy(p, filler, 'TLBI_NH_VA', { ASID: c.e[i + B]!, Address: input, ...leaf })),
  };
}

function atcHazard(p: Parts, d: PciDevice, i: number, v: Verdict): Hazard {
  const c = d.atc;
  const input = inputOf(c, i);
  const tag = c.e[i + B]!;
  const pasid: Record<string, number> = tag === NO_PASID ? {} : { SSV: 1, SSID: tag };
  return {
    ...entryOf(c, i, deviceId(d), translationCells(c, i), v),
    text: `${d.name} still maps ${hex(input)}${tag === NO_PASID ? '' : ` of PASID ${tag}`} to PA ${hex(outputOf(c, i))} in its ATC.`,
    ...remedy(p, d, 'ATC_INV', { SID: d.vrid, ...pasid, Size: c.e[i + SHIFT]! - 12, Address: input }),
  };
}
