import { fieldOf, getField, hex, hexPlain } from '../../bits/index.ts';
import { type TranslationCache, UID } from '../../cache/index.ts';
import type { Hazard, Scene, SceneCache, SceneObject, SceneQueue } from '../../machine/index.ts';
import type { Bus } from '../../memory/index.ts';
import { ridText } from '../../pci/index.ts';
import { cacheColumns, cerrorNames, configCells, ring, translationCells } from '../hardware/index.ts';
import { commandText, eventName, steLayout } from '../layout/index.ts';
import { isProbed } from './operations.ts';
import type { Parts } from './parts.ts';

/** Entries of a ring that a picture shows. */
const SHOWN = 8;

/** Everything there is to see of the machine now. Ids are those that trace events name. */
export function sceneOf(p: Parts, hazards: readonly Hazard[]): Scene {
  return { objects: [...guestObjects(p), ...vmmObjects(p), ...kernelObjects(p), ...hardwareObjects(p, hazards)] };
}

const configs: Readonly<Record<number, string>> = { 4: 'bypass', 5: 'S1 translate', 6: 'S2 translate', 7: 'S1 + S2' };

/** `S1 translate, ATS` of an STE's words. */
export function steText(words: readonly bigint[]): string {
  const get = (n: string): number => Number(getField(fieldOf(steLayout, n), words));
  if (!get('V')) return 'V=0';
  const config = configs[get('Config')] ?? 'abort';
  return get('EATS') === 1 ? `${config}, ATS` : config;
}

export const readWords = (bus: Bus, at: number, n: number): bigint[] =>
  Array.from({ length: n }, (_, i) => bus.readWord(at + 8 * i));

/** The ring between CONS and PROD, and a few entries before. */
function queueView(
  bus: Bus,
  base: number,
  size: number,
  prod: number,
  cons: number,
  words: number,
  text: (w: bigint[]) => string,
  error: boolean,
): SceneQueue {
  const mask = 2 * size - 1;
  const pending = (prod - cons) & mask;
  // Positions count on over the ring; what was overwritten is not shown.
  const from = Math.max(prod - Math.max(SHOWN, Math.min(pending, SHOWN)), prod >= size ? prod - size : 0);
  const slots = [];
  for (let at = from; at < prod; at++) {
    const index = at & (size - 1);
    const entry = readWords(bus, base + index * words * 8, words);
    const ahead = (prod - at) & mask;
    const state =
      ahead > pending ? ('done' as const) : error && ahead === pending ? ('error' as const) : ('pending' as const);
    slots.push({ index, text: text(entry), state });
  }
  return { size, prod: prod & (size - 1), cons: cons & (size - 1), slots };
}

const commandLine = (w: bigint[]): string => commandText(w).text;
const eventLine = (w: bigint[]): string => eventName(Number(w[0]! & 0xffn));

function guestObjects(p: Parts): SceneObject[] {
  if (!p.vmm.state.started) return [];
  const v = p.guest.views();
  const out: SceneObject[] = [];
  const g = (o: Omit<SceneObject, 'band' | 'refs'> & { refs?: SceneObject['refs'] }): void => {
    out.push({ band: 'guest', refs: [], ...o });
  };
  const reg = (n: string): number => Number(p.vmm.readVirtual(n));
  if (v.cmdq) {
    const mask = 2 * v.cmdq.size - 1;
    const err = (reg('CMDQ_CONS') >>> 24) & 0x7f;
    const [prod, cons] = [reg('CMDQ_PROD') & mask, reg('CMDQ_CONS') & mask];
    g({
      id: 'guest.cmdq',
      type: 'CMDQ',
      title: 'vCMDQ',
      lines: [
        `prod ${prod & (v.cmdq.size - 1)} cons ${cons & (v.cmdq.size - 1)}`,
        ...(err ? [cerrorNames[err] ?? `error ${err}`] : []),
      ],
      queue: queueView(p.guestMemory, v.cmdq.base, v.cmdq.size, prod, cons, 2, commandLine, err !== 0),
    });
  } else g({ id: 'guest.cmdq', type: 'CMDQ', title: 'vCMDQ', lines: ['not set up'] });
  if (v.evtq) {
    const mask = 2 * v.evtq.size - 1;
    const [prod, cons] = [reg('EVENTQ_PROD') & mask, reg('EVENTQ_CONS') & mask];
    g({
      id: 'guest.evtq',
      type: 'EVTQ',
      title: 'vEVTQ',
      lines: [prod === cons ? 'empty' : `prod ${prod} cons ${cons}`],
      queue: queueView(p.guestMemory, v.evtq.base, v.evtq.size, prod, cons, 4, eventLine, false),
    });
  }
  if (v.strtab)
    g({
      id: 'guest.strtab',
      type: 'Stream table',
      title: 'vStream table',
      lines: [hex(v.strtab.base), v.strtab.split > 0 ? 'two-level' : 'linear'],
    });
  for (const d of v.devices) {
    const words = readWords(p.guestMemory, d.steAddress, 8);
    const translates = (Number(getField(fieldOf(steLayout, 'Config'), words)) & 5) === 5;
    g({
      id: `guest.ste.${hexPlain(d.vsid)}`,
      type: 'STE',
      title: `vSTE ${hex(d.vsid)}`,
      device: d.name,
      lines: [steText(words)],
      refs: translates && d.cdTable ? [{ to: `guest.cdtable.${d.cdTable.owner}`, label: 'S1ContextPtr' }] : [],
    });
    if (d.ownTable) {
      const domain = v.domains.find((x) => x.name === v.devices.find((y) => y.cdTable?.owner === d.name)?.domain);
      g({
        id: `guest.cdtable.${d.name}`,
        type: 'CD table',
        title: 'CD table',
        device: d.name,
        lines: [hex(d.ownTable.address), domain ? `asid ${domain.asid}` : 'no CD'],
        refs: domain ? [{ to: `guest.s1.${domain.name}`, label: 'TTB0' }] : [],
      });
    }
  }
  for (const s of v.domains) {
    const users = v.devices.filter((d) => d.domain === s.name);
    const pages = s.mappings.length;
    g({
      id: `guest.s1.${s.name}`,
      type: 'S1 tables',
      title: `S1 tables ${s.name}`,
      lines: [`${pages} mapping${pages === 1 ? '' : 's'}`, ...(s.queued ? ['flush queued'] : [`TTB ${hex(s.root)}`])],
      ...(users.length === 1 ? { device: users[0]!.name } : {}),
    });
  }
  for (const d of p.devices) {
    if (!p.vmm.isPlugged(d.name)) continue;
    const known = v.devices.some((x) => x.name === d.name);
    g({
      id: `guest.device.${d.name}`,
      type: 'device',
      title: d.name,
      device: d.name,
      lines: [`vRID ${ridText(d.vrid).slice(5)}`],
      refs: known ? [{ to: `guest.ste.${hexPlain(d.vrid)}` }] : [],
    });
  }
  return out;
}

function vmmObjects(p: Parts): SceneObject[] {
  if (!p.vmm.state.started) return [];
  const s = p.vmm.units[0]!.state;
  const cr0 = Number(p.vmm.readVirtual('CR0'));
  const lines = s.devices.map((d) => `${hex(d.vsid)} ${d.name}${d.vdevice ? ` → vDEVICE ${d.vdevice}` : ''}`);
  return [
    {
      id: 'vmm.vsmmu',
      band: 'vmm',
      type: 'vSMMU',
      title: 'vSMMU',
      lines: [cr0 & 1 ? 'enabled' : cr0 & 8 ? 'queues on' : 'disabled', 'traps CMDQ_PROD'],
      refs: s.viommu ? [{ to: `kernel.obj.${s.viommu}`, label: 'vIOMMU' }] : [],
    },
    { id: 'vmm.devices', band: 'vmm', type: 'vSID map', title: 'vSID → vDEVICE', lines: lines.reverse(), refs: [] },
  ];
}

function kernelObjects(p: Parts): SceneObject[] {
  if (!isProbed(p)) return [];
  const out: SceneObject[] = p.iommufd.objects().map((o) => ({
    id: o.id,
    band: 'kernel',
    type: o.type,
    title: o.title,
    lines: o.lines,
    refs: o.refs,
    ...(o.device === undefined ? {} : { device: o.device }),
  }));
  // A translating nested page table stands with the device that uses it, if it is only one; the VMM's two ready-made ones
  // (abort, bypass) are anybody's.
  const placed = out.map((o) => {
    if (o.type !== 'HWPT_NESTED' || o.device !== undefined || !o.lines[0]?.startsWith('stage 1')) return o;
    const users = out.filter((d) => d.type === 'DEVICE' && d.refs.some((r) => r.to === o.id));
    return users.length === 1 && users[0]!.device !== undefined ? { ...o, device: users[0]!.device } : o;
  });
  placed.push({
    id: 'kernel.driver',
    band: 'kernel',
    type: 'driver',
    title: 'arm-smmu-v3',
    lines: [`${p.driver.state.log.length} log lines`],
    refs: [],
  });
  return placed;
}

function cacheOf(c: TranslationCache, stale: ReadonlySet<number>): SceneCache {
  const rows: SceneCache['rows'][number][] = [];
  c.forEach((i) => {
    rows.push({ id: c.e[i + UID]!, cells: translationCells(c, i), stale: stale.has(c.e[i + UID]!) });
  });
  return { columns: cacheColumns[c.name]!, rows };
}

function hardwareObjects(p: Parts, hazards: readonly Hazard[]): SceneObject[] {
  const { smmu } = p;
  const out: SceneObject[] = [];
  const h = (o: Omit<SceneObject, 'band' | 'refs'> & { refs?: SceneObject['refs'] }): void => {
    out.push({ band: 'hardware', refs: [], ...o });
  };
  const staleIn = (at: string): ReadonlySet<number> => new Set(hazards.filter((x) => x.at === at).map((x) => x.entry));
  const reg = (n: string): number => smmu.regs.num(n);
  const enabled = (reg('CR0') & 1) !== 0;
  h({
    id: 'hw.smmu',
    type: 'SMMU',
    title: 'SMMUv3',
    lines: [enabled ? 'enabled' : 'disabled', `OAS ${smmu.features.oas}`],
    refs: enabled ? [{ to: 'hw.strtab' }] : [],
  });

  const cq = ring(smmu.readRegister('CMDQ_BASE'), smmu.features.cmdqsLog2, 16);
  const csize = 2 ** cq.log2;
  const err = (reg('CMDQ_CONS') >>> 24) & 0x7f;
  const con = (reg('CR0') & 8) !== 0;
  const [prod, cons] = [reg('CMDQ_PROD') & (2 * csize - 1), reg('CMDQ_CONS') & (2 * csize - 1)];
  h({
    id: 'hw.cmdq',
    type: 'CMDQ',
    title: 'CMDQ',
    lines: con
      ? [`prod ${prod & (csize - 1)} cons ${cons & (csize - 1)}`, ...(err ? [cerrorNames[err] ?? `error ${err}`] : [])]
      : ['off'],
    ...(con && p.memory.contains(cq.base, csize * 16)
      ? { queue: queueView(p.memory, cq.base, csize, prod, cons, 2, commandLine, err !== 0) }
      : {}),
  });
  const eq = ring(smmu.readRegister('EVENTQ_BASE'), smmu.features.eventqsLog2, 32);
  const esize = 2 ** eq.log2;
  const eon = (reg('CR0') & 4) !== 0;
  const [eprod, econs] = [reg('EVENTQ_PROD') & (2 * esize - 1), reg('EVENTQ_CONS') & (2 * esize - 1)];
  h({
    id: 'hw.evtq',
    type: 'EVTQ',
    title: 'EVTQ',
    lines: [eon ? (eprod === econs ? 'empty' : `prod ${eprod} cons ${econs}`) : 'off'],
    ...(eon && p.memory.contains(eq.base, esize * 32)
      ? { queue: queueView(p.memory, eq.base, esize, eprod, econs, 4, eventLine, false) }
      : {}),
  });
  h({
    id: 'hw.strtab',
    type: 'Stream table',
    title: 'Stream table',
    lines: [
      smmu.readRegister('STRTAB_BASE') === 0n ? 'none' : hex(smmu.readRegister('STRTAB_BASE') & 0xfffffffffffc0n),
    ],
  });
  if (isProbed(p))
    for (const m of p.driver.masters())
      h({
        id: `hw.ste.${hexPlain(m.sid)}`,
        type: 'STE',
        title: `STE ${hex(m.sid)}`,
        device: m.name,
        lines: [steText(readWords(p.memory, m.steAddress, 8))],
      });

  const { caches } = smmu;
  const config: SceneCache['rows'][number][] = [];
  const stale = staleIn('hw.config');
  const row = (name: 'STE' | 'CD' | 'L1STD' | 'L1CD', e: Parameters<typeof configCells>[1]): void => {
    config.push({ id: e.uid, cells: configCells(name, e), stale: stale.has(e.uid) });
  };
  for (const e of caches.l1std.values()) row('L1STD', e);
  for (const e of caches.ste.values()) row('STE', e);
  for (const e of caches.l1cd.values()) row('L1CD', e);
  for (const of of caches.cd.values()) for (const e of of.values()) row('CD', e);
  h({
    id: 'hw.iotlb',
    type: 'IOTLB',
    title: 'IOTLB',
    lines: count(caches.iotlb.size),
    cache: cacheOf(caches.iotlb, staleIn('hw.iotlb')),
  });
  h({
    id: 'hw.config',
    type: 'config cache',
    title: 'STE and CD cache',
    lines: count(config.length),
    cache: { columns: cacheColumns.config!, rows: config.sort((a, b) => a.id - b.id) },
  });
  h({
    id: 'hw.s1walk',
    type: 'walk cache',
    title: 'S1 walk cache',
    lines: count(caches.s1walk.size),
    cache: cacheOf(caches.s1walk, staleIn('hw.s1walk')),
  });
  h({
    id: 'hw.s2tlb',
    type: 'S2 TLB',
    title: 'S2 TLB',
    lines: count(caches.s2tlb.size),
    cache: cacheOf(caches.s2tlb, staleIn('hw.s2tlb')),
  });
  h({
    id: 'hw.s2walk',
    type: 'walk cache',
    title: 'S2 walk cache',
    lines: count(caches.s2walk.size),
    cache: cacheOf(caches.s2walk, staleIn('hw.s2walk')),
  });
  for (const d of p.devices) {
    const id = `hw.device.${d.name}`;
    h({
      id,
      type: 'device',
      title: d.name,
      device: d.name,
      lines: [ridText(d.rid), d.atsCapable ? (d.atsEnabled ? 'ATS on' : 'ATS off') : 'no ATS'],
      refs: isProbed(p) ? [{ to: `hw.ste.${hexPlain(d.rid)}` }] : [],
      ...(d.atsCapable ? { cache: cacheOf(d.atc, staleIn(id)) } : {}),
    });
  }
  return out;
}

const count = (n: number): string[] => [n === 0 ? 'empty' : n === 1 ? '1 entry' : `${n} entries`];
