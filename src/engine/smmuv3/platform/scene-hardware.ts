import { hex, hexPlain } from '../../bits/index.ts';
import type { TranslationCache } from '../../cache/index.ts';
import { type Hazard, type SceneCache, type SceneObject, scoped } from '../../machine/index.ts';
import { cacheOf, type Draft, deviceObject, entries, queueView, readWords, staleIn } from '../../platform/index.ts';
import { cacheColumns, cerrorNames, configCells, deviceId, ring, translationCells } from '../hardware/index.ts';
import type { Parts, Unit } from './parts.ts';
import { type RingName, rings } from './rings.ts';
import { steText } from './ste-text.ts';

/** Scene id of the physical STE of a StreamID. */
export const physicalSteId = (u: Unit, sid: number): string => scoped('hw', u.scope, `ste.${hexPlain(sid)}`);

const queues = {
  cmdq: { prefix: 'CMDQ', bit: 8, title: 'CMDQ' },
  evtq: { prefix: 'EVENTQ', bit: 4, title: 'EVTQ' },
  priq: { prefix: 'PRIQ', bit: 2, title: 'PRIQ' },
} as const;

/** Where a queue lies and how far it is, from the registers; `on`: it is enabled. */
export function queueAt(u: Unit, kind: RingName) {
  const { iommu: smmu } = u;
  const { prefix, bit } = queues[kind];
  const { cmdqsLog2, eventqsLog2, priqsLog2 } = smmu.features;
  const most = kind === 'cmdq' ? cmdqsLog2 : kind === 'evtq' ? eventqsLog2 : priqsLog2;
  const bytes = rings[kind].words * 8;
  const q = ring(smmu.readRegister(`${prefix}_BASE`), most, bytes);
  const size = 2 ** q.log2;
  const prod = smmu.regs.num(`${prefix}_PROD`) & (2 * size - 1);
  const cons = smmu.regs.num(`${prefix}_CONS`) & (2 * size - 1);
  return { prefix, base: q.base, size, bytes, prod, cons, wraps: true, on: (smmu.regs.num('CR0') & bit) !== 0 };
}

function queueObject(p: Parts, u: Unit, kind: RingName): Draft {
  const q = queueAt(u, kind);
  const err = kind === 'cmdq' ? (u.iommu.regs.num('CMDQ_CONS') >>> 24) & 0x7f : 0;
  const { title } = queues[kind];
  const position =
    kind === 'cmdq'
      ? `prod ${q.prod & (q.size - 1)} cons ${q.cons & (q.size - 1)}`
      : q.prod === q.cons
        ? 'empty'
        : `prod ${q.prod} cons ${q.cons}`;
  return {
    id: u.iommu.ids[kind],
    type: title,
    title,
    lines: q.on ? [position, ...(err ? [cerrorNames[err] ?? `error ${err}`] : [])] : ['off'],
    ...(q.on && p.memory.contains(q.base, q.size * q.bytes)
      ? { queue: queueView(p.memory, rings[kind], q, err !== 0) }
      : {}),
  };
}

/** What is to be seen of one physical SMMU and the devices behind it. */
export function hardwareObjects(p: Parts, u: Unit, hazards: readonly Hazard[]): SceneObject[] {
  const { iommu: smmu } = u;
  const { ids, caches } = smmu;
  const out: SceneObject[] = [];
  const section = p.units.length > 1 ? { section: u.name } : {};
  const add = (o: Draft): void => {
    out.push({ band: 'hardware', refs: [], ...section, ...o });
  };
  const enabled = (smmu.regs.num('CR0') & 1) !== 0;
  add({
    id: ids.smmu,
    type: 'SMMU',
    title: 'SMMUv3',
    lines: [enabled ? 'enabled' : 'disabled', `OAS ${smmu.features.oas}`],
    refs: enabled ? [{ to: ids.strtab }] : [],
  });
  add(queueObject(p, u, 'cmdq'));
  add(queueObject(p, u, 'evtq'));
  // Without a device that sends page requests the queue stays empty for ever.
  if (u.devices.some((d) => d.priCapable) || smmu.regs.num('PRIQ_PROD') !== 0) add(queueObject(p, u, 'priq'));
  const strtab = smmu.readRegister('STRTAB_BASE');
  add({
    id: ids.strtab,
    type: 'Stream table',
    title: 'Stream table',
    lines: [strtab === 0n ? 'none' : hex(strtab & 0xfffffffffffc0n)],
  });
  const probed = u.driver.state.features !== null;
  if (probed)
    for (const m of u.driver.masters())
      add({
        id: physicalSteId(u, m.sid),
        type: 'STE',
        title: `STE ${hex(m.sid)}`,
        device: m.name,
        lines: [steText(readWords(p.memory, m.steAddress, 8))],
      });

  const config: SceneCache['rows'][number][] = [];
  const stale = staleIn(hazards, ids.config);
  const row = (name: 'STE' | 'CD' | 'L1STD' | 'L1CD', e: Parameters<typeof configCells>[1]): void => {
    config.push({ id: e.uid, cells: configCells(name, e), stale: stale.has(e.uid) });
  };
  for (const e of caches.l1std.values()) row('L1STD', e);
  for (const e of caches.ste.values()) row('STE', e);
  for (const e of caches.l1cd.values()) row('L1CD', e);
  for (const of of caches.cd.values()) for (const e of of.values()) row('CD', e);
  const rows = (c: TranslationCache, at: string): SceneCache =>
    cacheOf(c, cacheColumns[c.name]!, (i) => translationCells(c, i), staleIn(hazards, at));
  const cache = (id: string, type: string, title: string, c: TranslationCache): void =>
    add({ id, type, title, lines: entries(c.size), cache: rows(c, id) });
  cache(ids.iotlb, 'IOTLB', 'IOTLB', caches.iotlb);
  add({
    id: ids.config,
    type: 'config cache',
    title: 'STE and CD cache',
    lines: entries(config.length),
    cache: { columns: cacheColumns.config!, rows: config.sort((a, b) => a.id - b.id) },
  });
  cache(ids.s1walk, 'walk cache', 'S1 walk cache', caches.s1walk);
  cache(ids.s2tlb, 'S2 TLB', 'S2 TLB', caches.s2tlb);
  cache(ids.s2walk, 'walk cache', 'S2 walk cache', caches.s2walk);
  const waiting = smmu.stalled();
  for (const d of u.devices) {
    const stalls = waiting.filter((s) => s.device === d.name);
    const waits = stalls.length > 0 ? `stalled STAG ${stalls.map((s) => s.stag).join(', ')}` : '';
    add(deviceObject(d, waits, probed ? [{ to: physicalSteId(u, d.rid) }] : [], rows(d.atc, deviceId(d))));
  }
  return out;
}
