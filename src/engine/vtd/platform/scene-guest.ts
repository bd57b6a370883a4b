import { hex, hexPlain } from '../../bits/index.ts';
import type { SceneObject } from '../../machine/index.ts';
import { slotText } from '../../pci/index.ts';
import { count, type Draft, queueView } from '../../platform/index.ts';
import type { GuestViews, UnitView } from '../guest/index.ts';
import { contextObject, pasidObjects, pasidsOf } from './entries.ts';
import { pasidText } from './entry-text.ts';
import { frcdObject } from './faults.ts';
import type { Guest, Parts } from './parts.ts';
import { invalidationRing, queueError, type Ring, requestQueue, ringText } from './rings.ts';
import { rootLines } from './root-text.ts';

const QIES = 1n << 26n;

/** What is to be seen of one guest: nothing before its VMM has started. */
export function guestObjects(p: Parts, g: Guest): SceneObject[] {
  if (!g.vmm.state.started) return [];
  const v = g.linux.views();
  const { kernel } = g.linux;
  const out: SceneObject[] = [];
  const section = p.guests.length > 1 ? { section: g.name } : {};
  const add = (o: Draft): void => {
    out.push({ band: 'guest', refs: [], ...section, ...o });
  };
  for (const [i, u] of v.units.entries()) unitObjects(g, i, u, v.units.length > 1, add);
  const tables = [...v.domains, ...v.processes.map((s) => ({ id: s.id, root: s.pgd }))];
  for (const d of kernel.state.devices) {
    add(contextObject(kernel, d));
    const entries = pasidObjects(kernel, d, 'v', (e) => {
      const t =
        e.type === 1 || e.type === 2 ? tables.find((x) => BigInt(x.root) === (e.type === 1 ? e.fs : e.ss)) : undefined;
      return t ? [{ to: t.id, label: e.type === 1 ? 'FSPTPTR' : 'SSPTPTR' }] : [];
    });
    for (const o of entries) add(o);
  }
  tableObjects(g, v, add);
  for (const d of g.devices) {
    if (!g.vmm.isPlugged(d.name)) continue;
    const known = kernel.state.devices.find((x) => x.name === d.name);
    add({
      id: `guest.device.${d.name}`,
      type: 'device',
      title: d.name,
      device: d.name,
      lines: [`vRID ${slotText(d.vrid)}`, ...(known?.reset ? ['in reset'] : [])],
      refs: known ? [{ to: kernel.units[known.unit]!.ids.context(known.sid) }] : [],
    });
  }
  return out;
}

function unitObjects(g: Guest, index: number, u: UnitView, several: boolean, add: (o: Draft) => void): void {
  const unit = g.vmm.units[index]!;
  const name = several ? ` ${u.name}` : '';
  const reg = (n: string): bigint => unit.readVirtual(n);
  const ring = (id: string, type: string, r: Ring, error = ''): Draft => ({
    id,
    type,
    title: `v${type}${name}`,
    lines: [ringText(r, error)],
    queue: queueView(g.memory, r.kind, r, error === 'IQE'),
  });
  if (reg('GSTS_REG') & QIES) add(ring(u.ids.iq, 'IQ', invalidationRing(reg), queueError(reg)));
  else add({ id: u.ids.iq, type: 'IQ', title: `vIQ${name}`, lines: ['off'] });
  if (reg('PQA_REG') !== 0n) add(ring(u.ids.prq, 'PRQ', requestQueue(reg)));
  add(frcdObject(u.ids.frcd, `vFRCD${name}`, reg));
  const root = reg('RTADDR_REG');
  if (root !== 0n) add({ id: u.ids.root, type: 'Root table', title: `vRoot table${name}`, lines: rootLines(root) });
}

/** Page tables of domains and processes, each with the (RID, PASID) pairs that lead to it. */
function tableObjects(g: Guest, v: GuestViews, add: (o: Draft) => void): void {
  const { kernel } = g.linux;
  const users = kernel.state.devices.flatMap((d) =>
    pasidsOf(kernel, d).flatMap((e) => {
      const t = pasidText(e.words);
      return t.present && t.type === 1 ? [{ device: d.name, root: t.fs, pasid: e.pasid, did: t.did }] : [];
    }),
  );
  const column = (root: number): { device?: string } => {
    const names = new Set(users.filter((x) => x.root === BigInt(root)).map((x) => x.device));
    return names.size === 1 ? { device: [...names][0]! } : {};
  };
  for (const s of v.domains)
    add({
      id: s.id,
      type: 'FS tables',
      title: `FS tables ${s.name}`,
      lines: [count(s.mappings.length, 'mapping'), s.queued ? 'flush queued' : `root ${hex(s.root)}`],
      ...column(s.root),
    });
  // A process belongs to no device: others bind to it and let go of it, and it should not change its place with them.
  for (const s of v.processes)
    add({
      id: s.id,
      type: 'FS tables',
      title: s.name,
      lines: [
        s.exited ? 'the process has ended' : count(s.areas.length, 'area'),
        ...(s.pasid ? [`PASID ${hexPlain(s.pasid)}`] : []),
        `root ${hexPlain(s.pgd)}`,
      ],
    });
}
