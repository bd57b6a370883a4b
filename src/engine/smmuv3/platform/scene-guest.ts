import { fieldOf, getField, hex, hexPlain } from '../../bits/index.ts';
import type { SceneObject } from '../../machine/index.ts';
import { slotText } from '../../pci/index.ts';
import { count, type Draft, queueView, readWords } from '../../platform/index.ts';
import { cdTableId, type DeviceView, type GuestViews, type UnitView } from '../guest/index.ts';
import { cerrorNames } from '../hardware/index.ts';
import { steLayout } from '../layout/index.ts';
import type { Guest, Parts } from './parts.ts';
import { rings } from './rings.ts';
import { steText } from './ste-text.ts';

/** What is to be seen of one guest: nothing before its VMM has started. */
export function guestObjects(p: Parts, g: Guest): SceneObject[] {
  if (!g.vmm.state.started) return [];
  const v = g.linux.views();
  const out: SceneObject[] = [];
  const section = p.guests.length > 1 ? { section: g.name } : {};
  const add = (o: Draft): void => {
    out.push({ band: 'guest', refs: [], ...section, ...o });
  };
  for (const [i, u] of v.units.entries()) unitObjects(g, i, u, v, add);
  for (const d of v.devices) deviceEntries(g, d, v, add);
  tables(v, add);
  for (const d of g.devices) {
    if (!g.vmm.isPlugged(d.name)) continue;
    const known = v.devices.find((x) => x.name === d.name);
    add({
      id: `guest.device.${d.name}`,
      type: 'device',
      title: d.name,
      device: d.name,
      lines: [`vRID ${slotText(d.vrid)}`, ...(known?.resetting ? ['in reset'] : [])],
      refs: known ? [{ to: known.ste }] : [],
    });
  }
  return out;
}

function unitObjects(g: Guest, index: number, u: UnitView, v: GuestViews, add: (o: Draft) => void): void {
  const unit = g.vmm.units[index]!;
  const name = v.units.length > 1 ? ` ${u.name}` : '';
  const reg = (n: string): number => Number(unit.readVirtual(n));
  if (u.cmdq) {
    const { base, size } = u.cmdq;
    const mask = 2 * size - 1;
    const err = (reg('CMDQ_CONS') >>> 24) & 0x7f;
    const [prod, cons] = [reg('CMDQ_PROD') & mask, reg('CMDQ_CONS') & mask];
    add({
      id: u.ids.cmdq,
      type: 'CMDQ',
      title: `vCMDQ${name}`,
      lines: [
        `prod ${prod & (size - 1)} cons ${cons & (size - 1)}`,
        ...(err ? [cerrorNames[err] ?? `error ${err}`] : []),
      ],
      queue: queueView(g.memory, rings.cmdq, { base, size, prod, cons, wraps: true }, err !== 0),
    });
  } else add({ id: u.ids.cmdq, type: 'CMDQ', title: `vCMDQ${name}`, lines: ['not set up'] });
  for (const [kind, prefix, ring] of [
    ['evtq', 'EVENTQ', u.evtq],
    ['priq', 'PRIQ', u.priq],
  ] as const) {
    if (!ring) continue;
    const { base, size } = ring;
    const mask = 2 * size - 1;
    const [prod, cons] = [reg(`${prefix}_PROD`) & mask, reg(`${prefix}_CONS`) & mask];
    const type = kind === 'evtq' ? 'EVTQ' : 'PRIQ';
    add({
      id: u.ids[kind],
      type,
      title: `v${type}${name}`,
      lines: [prod === cons ? 'empty' : `prod ${prod} cons ${cons}`],
      queue: queueView(g.memory, rings[kind], { base, size, prod, cons, wraps: true }),
    });
  }
  if (u.strtab)
    add({
      id: u.ids.strtab,
      type: 'Stream table',
      title: `vStream table${name}`,
      lines: [hex(u.strtab.base), u.strtab.split > 0 ? 'two-level' : 'linear'],
    });
}

/** A device's STE and the CD table that it owns, with what each PASID leads to. */
function deviceEntries(g: Guest, d: DeviceView, v: GuestViews, add: (o: Draft) => void): void {
  const words = readWords(g.memory, d.steAddress, 8);
  const translates = (Number(getField(fieldOf(steLayout, 'Config'), words)) & 5) === 5;
  add({
    id: d.ste,
    type: 'STE',
    title: `vSTE ${hex(d.vsid)}`,
    device: d.name,
    lines: [steText(words)],
    refs: translates && d.cdTable ? [{ to: cdTableId(d.scope, d.cdTable.owner), label: 'S1ContextPtr' }] : [],
  });
  if (!d.ownTable) return;
  const user = v.devices.find((y) => y.unit === d.unit && y.cdTable?.owner === d.name);
  const domain = v.domains.find((x) => x.name === user?.domain);
  const pasids = (user?.pasids ?? []).flatMap((a) => {
    const to = a.kind === 'domain' ? v.domains.find((x) => x.name === a.name) : undefined;
    const process = a.kind === 'process' ? v.processes.find((x) => x.name === a.name) : undefined;
    const asid = to?.asid ?? process?.spaces.find((s) => s.unit === d.unit)?.asid;
    const id = to?.id ?? process?.id;
    return id === undefined ? [] : [{ pasid: a.pasid, asid, id, quiet: process?.exited ?? false }];
  });
  add({
    id: cdTableId(d.scope, d.name),
    type: 'CD table',
    title: 'CD table',
    device: d.name,
    lines: [
      hex(d.ownTable.address),
      domain ? `asid ${domain.asid}` : pasids.length ? 'no CD for the RID' : 'no CD',
      ...pasids.map((x) => `pasid ${x.pasid} ${x.quiet ? 'ended' : `asid ${x.asid ?? '–'}`}`),
    ],
    refs: [
      ...(domain ? [{ to: domain.id, label: 'TTB0' }] : []),
      ...pasids.map((x) => ({ to: x.id, label: `TTB0 pasid ${x.pasid}` })),
    ],
  });
}

function tables(v: GuestViews, add: (o: Draft) => void): void {
  const column = (users: readonly DeviceView[]): { device?: string } =>
    users.length === 1 ? { device: users[0]!.name } : {};
  for (const s of v.domains) {
    const has = (d: DeviceView): boolean => d.pasids.some((a) => a.kind === 'domain' && a.name === s.name);
    add({
      id: s.id,
      type: 'S1 tables',
      title: `S1 tables ${s.name}`,
      lines: [count(s.mappings.length, 'mapping'), ...(s.queued ? ['flush queued'] : [`TTB ${hex(s.root)}`])],
      ...column(v.devices.filter((d) => d.domain === s.name || has(d))),
    });
  }
  // A process belongs to no device: others bind to it and let go of it, and it should not change its place with them.
  for (const s of v.processes)
    add({
      id: s.id,
      type: 'S1 tables',
      title: s.name,
      lines: [
        s.exited ? 'the process has ended' : count(s.areas.length, 'area'),
        ...(s.pasid ? [`pasid ${s.pasid}`] : []),
        `TTB ${hexPlain(s.pgd)}`,
      ],
    });
}
