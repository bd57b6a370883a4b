import { hex, hexPlain } from '../../bits/index.ts';
import { A, B, GLOBAL, SHIFT, type TranslationCache, UID } from '../../cache/index.ts';
import type { Hazard, Operation } from '../../machine/index.ts';
import { NO_PASID, type PciDevice } from '../../pci/index.ts';
import {
  type CdConfig,
  configCells,
  inputOf,
  type L1Entry,
  outputOf,
  type SteConfig,
  sceneOf,
  translationCells,
  type Verdict,
} from '../hardware/index.ts';
import { commandText, encodeCommand } from '../layout/index.ts';
import type { Parts } from './parts.ts';

/**
 * Every cached entry that a fresh walk would not give, with the command that is missing. `depends` are the words that
 * decide it, so that the write can be found that made the entry stale.
 */
export function hazardsOf(p: Parts): Hazard[] {
  const out: Hazard[] = [];
  const { caches, audit } = p.smmu;
  for (const e of caches.ste.values()) {
    const v = audit.config('STE', e);
    if (v.state === 'differs') out.push(steHazard(p, e, v));
  }
  for (const of of caches.cd.values())
    for (const e of of.values()) {
      const v = audit.config('CD', e);
      if (v.state === 'differs') out.push(cdHazard(p, e, v));
    }
  for (const [name, of] of [
    ['L1STD', caches.l1std],
    ['L1CD', caches.l1cd],
  ] as const)
    for (const e of of.values()) {
      const v = audit.config(name, e);
      if (v.state === 'differs') out.push(l1Hazard(name, e, v));
    }
  for (const c of caches.translation())
    c.forEach((i) => {
      const v = audit.verdict(c, i);
      if (v.state === 'differs') out.push(translationHazard(c, i, v));
    });
  for (const d of p.devices)
    d.atc.forEach((i) => {
      const v = audit.atc(d, i);
      if (v.state === 'differs') out.push(atcHazard(d, i, v));
    });
  return out;
}

/** StreamIDs as the guest knows them; the physical one where the guest has none. */
const guestSid = (p: Parts, sid: number): number => p.devices.find((d) => d.rid === sid)?.vrid ?? sid;
const deviceName = (p: Parts, sid: number): string =>
  p.devices.find((d) => d.rid === sid)?.name ?? `stream ${hexPlain(sid)}`;

/** The guest's command as an operation, and as text. */
function remedy(name: string, fields: Record<string, number | bigint>): { missing: string; remedy: Operation } {
  const values = Object.fromEntries(Object.entries(fields).map(([k, v]) => [k, hexPlain(v)]));
  return {
    missing: commandText(encodeCommand(name, fields)).text,
    remedy: { do: 'guest.invalidate', command: { name, ...values } },
  };
}

function steHazard(p: Parts, e: SteConfig, v: Verdict): Hazard {
  return {
    at: 'hw.config',
    cache: 'STE',
    entry: e.uid,
    cells: configCells('STE', e),
    now: v.now,
    depends: v.depends,
    text: `The SMMU still uses an old STE for ${deviceName(p, e.sid)} (StreamID ${hex(e.sid)}).`,
    ...remedy('CFGI_STE', { SID: guestSid(p, e.sid), Leaf: 1 }),
  };
}

function cdHazard(p: Parts, e: CdConfig, v: Verdict): Hazard {
  return {
    at: 'hw.config',
    cache: 'CD',
    entry: e.uid,
    cells: configCells('CD', e),
    now: v.now,
    depends: v.depends,
    text: `The SMMU still uses an old CD for ${deviceName(p, e.sid)} (StreamID ${hex(e.sid)}, SSID ${e.ssid}).`,
    ...remedy('CFGI_CD', { SID: guestSid(p, e.sid), SSID: e.ssid, Leaf: 1 }),
  };
}

function l1Hazard(name: 'L1STD' | 'L1CD', e: L1Entry, v: Verdict): Hazard {
  return {
    at: 'hw.config',
    cache: name,
    entry: e.uid,
    cells: configCells(name, e),
    now: v.now,
    depends: v.depends,
    text: `The SMMU still uses an old ${name} (${hexPlain(e.word)}).`,
    missing: name === 'L1STD' ? 'CFGI_STE without Leaf' : 'CFGI_CD without Leaf',
  };
}

function translationHazard(c: TranslationCache, i: number, v: Verdict): Hazard {
  const base = {
    at: sceneOf(c),
    cache: c.name,
    entry: c.e[i + UID]!,
    cells: translationCells(c, i),
    now: v.now,
    depends: v.depends,
  };
  const vmid = c.e[i + A]!;
  const input = inputOf(c, i);
  if (c.name === 'S2 TLB' || c.name === 'S2 walk')
    return {
      ...base,
      text: `The ${c.name} still has IPA ${hex(input)} of VMID ${vmid} at ${hex(outputOf(c, i))}.`,
      missing: `TLBI_S2_IPA vmid ${vmid} ipa ${hexPlain(input)}, then TLBI_NH_ALL vmid ${vmid}`,
    };
  const walk = c.name === 'S1 walk';
  const text = `The ${c.name} ${walk ? 'cache still leads' : 'still maps'} VA ${hex(input)} of VMID ${vmid} ${walk ? 'through the table at' : 'to PA'} ${hex(outputOf(c, i))}.`;
  const global = c.e[i + B] === GLOBAL;
  // What stage 2 made stale only the host can remove.
  if (v.stage2) return { ...base, text, missing: `TLBI_NH_ALL vmid ${vmid} (after TLBI_S2_IPA)` };
  const leaf: Record<string, number> = walk ? {} : { Leaf: 1 };
  return {
    ...base,
    text,
    ...(global
      ? remedy('TLBI_NH_VAA', { Address: input, ...leaf })
      : remedy('TLBI_NH_VA', { ASID: c.e[i + B]!, Address: input, ...leaf })),
  };
}

function atcHazard(d: PciDevice, i: number, v: Verdict): Hazard {
  const c = d.atc;
  const input = inputOf(c, i);
  const pasid: Record<string, number> = c.e[i + B] === NO_PASID ? {} : { SSV: 1, SSID: c.e[i + B]! };
  return {
    at: `hw.device.${d.name}`,
    cache: 'ATC',
    entry: c.e[i + UID]!,
    cells: translationCells(c, i),
    now: v.now,
    depends: v.depends,
    text: `${d.name} still maps ${hex(input)} to PA ${hex(outputOf(c, i))} in its ATC.`,
    ...remedy('ATC_INV', { SID: d.vrid, ...pasid, Size: c.e[i + SHIFT]! - 12, Address: input }),
  };
}
