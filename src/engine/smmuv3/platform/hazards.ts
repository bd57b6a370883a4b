import { hex, hexPlain } from '../../bits/index.ts';
import { A, B, GLOBAL, SHIFT, SID, type TranslationCache, UID } from '../../cache/index.ts';
import { type Hazard, type Operation, viommuScope } from '../../machine/index.ts';
import { NO_PASID, type PciDevice } from '../../pci/index.ts';
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
  type Verdict,
} from '../hardware/index.ts';
import { commandText, encodeCommand } from '../layout/index.ts';
import { guestOfDevice, type Parts, type Unit } from './parts.ts';

const SMMUEN = 1;

/**
 * Every cached entry that a fresh walk would not give, with the command that is missing. `depends` are the words that
 * decide it, so that the write can be found that made the entry stale.
 */
export const hazardsOf = (p: Parts): Hazard[] => p.units.flatMap((u) => unitHazards(p, u));

function unitHazards(p: Parts, u: Unit): Hazard[] {
  const out: Hazard[] = [];
  const { caches, audit, regs } = u.smmu;
  // Nothing is looked up while the SMMU is off.
  if ((regs.num('CR0') & SMMUEN) === 0) return out;
  for (const e of caches.ste.values()) {
    const v = audit.config('STE', e);
    if (v.state === 'differs') out.push(steHazard(p, u, e, v));
  }
  for (const of of caches.cd.values())
    for (const e of of.values()) {
      const v = audit.config('CD', e);
      if (v.state === 'differs') out.push(cdHazard(p, u, e, v));
    }
  for (const [name, of] of [
    ['L1STD', caches.l1std],
    ['L1CD', caches.l1cd],
  ] as const)
    for (const e of of.values()) {
      const v = audit.config(name, e);
      if (v.state === 'differs') out.push(l1Hazard(p, u, name, e, v));
    }
  for (const c of caches.translation())
    c.forEach((i) => {
      const v = audit.verdict(c, i);
      if (v.state === 'differs') out.push(translationHazard(p, u, c, i, v));
    });
  for (const d of u.devices)
    d.atc.forEach((i) => {
      const v = audit.atc(d, i);
      if (v.state === 'differs') out.push(atcHazard(p, d, i, v));
    });
  return out;
}

/** ` of smmu1` while there are several. */
const ofUnit = (p: Parts, u: Unit): string => (p.units.length > 1 ? ` of ${u.name}` : '');

/** ` smmu1` while there are several. */
const named = (p: Parts, u: Unit): string => (p.units.length > 1 ? ` ${u.name}` : '');

const deviceOf = (u: Unit, sid: number): PciDevice | undefined => u.devices.find((d) => d.rid === sid);
/** StreamIDs as the guest knows them; the physical one where the guest has none. */
const guestSid = (u: Unit, sid: number): number => deviceOf(u, sid)?.vrid ?? sid;
const deviceName = (u: Unit, sid: number): string => deviceOf(u, sid)?.name ?? `stream ${hexPlain(sid)}`;

/** Guest and virtual unit on whose queue a command for a device belongs, as far as there are several; null: nobody's. */
export function queueOf(p: Parts, d: PciDevice | undefined): { guest?: string; unit?: string } | null {
  if (!d) return p.guests.length === 1 && p.guests[0]!.units.length === 1 ? {} : null;
  const g = guestOfDevice(p, d);
  const unit = g.units.find((x) => x.devices.includes(d.name))!;
  return {
    ...(p.guests.length > 1 ? { guest: g.name } : {}),
    ...(viommuScope(g.units, unit) === '' ? {} : { unit: unit.name }),
  };
}

/** The guest's command as an operation, and as text. */
function remedy(
  p: Parts,
  d: PciDevice | undefined,
  name: string,
  fields: Record<string, number | bigint>,
): { missing: string; remedy?: Operation } {
  const values = Object.fromEntries(Object.entries(fields).map(([k, v]) => [k, hexPlain(v)]));
  const missing = commandText(encodeCommand(name, fields)).text;
  const queue = queueOf(p, d);
  return queue ? { missing, remedy: { do: 'guest.invalidate', ...queue, command: { name, ...values } } } : { missing };
}

function steHazard(p: Parts, u: Unit, e: SteConfig, v: Verdict): Hazard {
  return {
    at: u.smmu.ids.config,
    cache: 'STE',
    entry: e.uid,
    cells: configCells('STE', e),
    now: v.now,
    depends: v.depends,
    text: `The SMMU${named(p, u)} still uses an old STE for ${deviceName(u, e.sid)} (StreamID ${hex(e.sid)}).`,
    ...remedy(p, deviceOf(u, e.sid), 'CFGI_STE', { SID: guestSid(u, e.sid), Leaf: 1 }),
  };
}

function cdHazard(p: Parts, u: Unit, e: CdConfig, v: Verdict): Hazard {
  return {
    at: u.smmu.ids.config,
    cache: 'CD',
    entry: e.uid,
    cells: configCells('CD', e),
    now: v.now,
    depends: v.depends,
    text: `The SMMU${named(p, u)} still uses an old CD for ${deviceName(u, e.sid)} (StreamID ${hex(e.sid)}, SSID ${e.ssid}).`,
    ...remedy(p, deviceOf(u, e.sid), 'CFGI_CD', { SID: guestSid(u, e.sid), SSID: e.ssid, Leaf: 1 }),
  };
}

function l1Hazard(p: Parts, u: Unit, name: 'L1STD' | 'L1CD', e: L1Entry, v: Verdict): Hazard {
  return {
    at: u.smmu.ids.config,
    cache: name,
    entry: e.uid,
    cells: configCells(name, e),
    now: v.now,
    depends: v.depends,
    text: `The SMMU${named(p, u)} still uses an old ${name} (${hexPlain(e.word)}).`,
    missing: name === 'L1STD' ? 'CFGI_STE without Leaf' : 'CFGI_CD without Leaf',
  };
}

function translationHazard(p: Parts, u: Unit, c: TranslationCache, i: number, v: Verdict): Hazard {
  const base = {
    at: sceneOf(c, u.smmu.ids),
    cache: c.name,
    entry: c.e[i + UID]!,
    cells: translationCells(c, i),
    now: v.now,
    depends: v.depends,
  };
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
    at: deviceId(d),
    cache: 'ATC',
    entry: c.e[i + UID]!,
    cells: translationCells(c, i),
    now: v.now,
    depends: v.depends,
    text: `${d.name} still maps ${hex(input)}${tag === NO_PASID ? '' : ` of PASID ${tag}`} to PA ${hex(outputOf(c, i))} in its ATC.`,
    ...remedy(p, d, 'ATC_INV', { SID: d.vrid, ...pasid, Size: c.e[i + SHIFT]! - 12, Address: input }),
  };
}
