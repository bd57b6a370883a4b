/** A pasted dump as a scenario document: its bytes at their addresses, the registers, a device, and the access to walk. */

import { hexPlain } from '../../engine/bits/index.ts';
import { ridText, type ScenarioDocument } from '../../engine/document/index.ts';
import { physicalFeatures, smmuFeatureNames } from '../../engine/smmuv3/hardware/features.ts';
import { type Breach, cdBreaches, steBreaches } from '../arm/legality.ts';
import type { Dump } from '../arm/link.ts';
import type { DecodedLog } from '../record.ts';
import type { Scenario } from './index.ts';
import { place } from './memory.ts';
import { withOutcome } from './outcome.ts';
import { plan } from './plan.ts';
import { aboutText, accessText, memoryUpTo, tooHigh } from './text.ts';
import { MOST_STEPS, type Step, writes } from './writes.ts';

const ORDER = ['CR1', 'CMDQ_BASE', 'EVENTQ_BASE', 'STRTAB_BASE_CFG', 'STRTAB_BASE', 'CR0'] as const;

function roleText(dump: Dump, at: number): string | null {
  const role = dump.roleAt(at);
  if (!role) return null;
  if (role.kind === 'ste') return role.sid === null ? 'STE' : `STE of StreamID ${hexPlain(role.sid)}`;
  if (role.kind === 'cd') return `Context descriptor${role.ssid > 0 ? ` of PASID ${role.ssid}` : ''}`;
  if (role.kind === 'l1cd') return 'Level-1 context descriptors';
  return `Stage-${role.found.tree.stage} level-${role.found.level} table`;
}

/** Features without which the pasted entries would be illegal on the machine of a document. */
function features(breaches: readonly Breach[], top: number): Record<string, boolean | number> {
  const normal = physicalFeatures({});
  const out: Record<string, boolean | number> = {};
  const known = (name: string): boolean => Object.hasOwn(smmuFeatureNames, name);
  for (const { need } of breaches) {
    if (!need?.feature || need.met(normal) || !known(need.feature[0])) continue;
    const [name, value] = need.feature;
    const before = out[name];
    out[name] = typeof value === 'number' && typeof before === 'number' ? Math.max(before, value) : value;
  }
  if (top > 2 ** 48) out.OAS = 52;
  return out;
}

/**
 * Builds the document of a text with SMMUv3 tables in it.
 */
export function smmuv3Scenario(log: DecodedLog, dump: Dump | undefined): Scenario {
  if (!dump || (dump.stes.length === 0 && dump.cds.length === 0 && !dump.lone))
    return {
      ok: false,
      why: 'The text holds no stream table entry, context descriptor or table page to walk. Paste the STE, the CD and the table pages, each with its address (`xp /512gx`, `rd -p`, `x/8gx`, `hexdump -C`).',
    };
  const p = plan(dump, log.records);
  const placed = place(dump, p);
  const lone = !p.ste && !p.cd && dump.lone ? dump.lone.leaves[0] : undefined;
  const address = p.fault ? p.address : lone ? BigInt(lone.input) : p.address;
  const missing = p.missing;
  const breaches = [...(p.ste ? steBreaches(p.ste.words) : []), ...(p.cd ? cdBreaches(p.cd.words, false) : [])];
  const top = Math.max(placed.image.end, placed.queues + 8192, (p.pa ?? 0) + 65536);
  const high = tooHigh(top);
  if (high) return { ok: false, why: high };
  const steps = writes(placed.image, placed.labels, (at) => roleText(dump, at));
  if (steps.length > MOST_STEPS)
    return { ok: false, why: `The dump is too large for a scenario: ${steps.length} pieces, at most ${MOST_STEPS}.` };
  const notes = [...placed.notes];
  if (dump.linear !== null)
    notes.push(
      `Virtual addresses of the text are taken as a linear map at ${hexPlain(dump.linear)}: the pointers fit.`,
    );
  const values: Record<(typeof ORDER)[number], string> = {
    CR1: '0xd75',
    CMDQ_BASE: hexPlain(placed.queues + 7),
    EVENTQ_BASE: hexPlain(placed.queues + 4096 + 6),
    STRTAB_BASE_CFG: hexPlain(placed.cfg),
    STRTAB_BASE: hexPlain(placed.base),
    CR0: '0xd',
  };
  for (const reg of ORDER) steps.push({ do: 'register.write', iommu: 'physical', reg, value: values[reg] } as Step);
  const set = features(breaches, top);
  const stall = 'STALL_MODEL' in set && set.STALL_MODEL === 0;
  const ats = !stall && p.ste !== null && (((p.ste.words[1] ?? 0n) >> 28n) & 3n) === 1n;
  const dma = {
    do: 'device.dma',
    device: 'dev0',
    ...(p.pasid === null ? {} : { pasid: p.pasid }),
    iova: hexPlain(address),
    access: p.write ? 'write' : 'read',
    length: 4,
    say: accessText(p.why, missing),
  };
  steps.push(dma as unknown as Step);
  const document = {
    format: 'iommuscope/1',
    title: `A pasted dump: ${p.write ? 'write to' : 'read of'} ${hexPlain(address)}`,
    about: aboutText('The device', p.why, notes, missing),
    platform: {
      iommu: 'smmuv3',
      memory: memoryUpTo(top),
      ...(Object.keys(set).length > 0 ? { features: set } : {}),
    },
    devices: [{ name: 'dev0', rid: ridText(placed.sid), ats, ...(stall ? { stall: true } : {}) }],
    setup: 'bare',
    steps,
  } as unknown as ScenarioDocument;
  return { ok: true, document: withOutcome(document), notes, missing };
}
