import { hex } from '../../bits/index.ts';
import type { SceneObject } from '../../machine/index.ts';
import { type Guest, isProbed, type Parts } from './parts.ts';

/** What is to be seen of one VMM: nothing before it has started. */
export function vmmObjects(p: Parts, g: Guest): SceneObject[] {
  if (!g.vmm.state.started) return [];
  const section = p.guests.length > 1 ? { section: g.name } : {};
  const several = g.vmm.units.length > 1;
  const units = g.vmm.units.map((u): SceneObject => {
    const cr0 = Number(u.readVirtual('CR0'));
    return {
      id: u.ids.vsmmu,
      band: 'vmm',
      type: 'vSMMU',
      title: several ? `vSMMU ${u.name}` : 'vSMMU',
      lines: [cr0 & 1 ? 'enabled' : cr0 & 8 ? 'queues on' : 'disabled', 'traps CMDQ_PROD'],
      refs: u.state.viommu ? [{ to: g.vmm.ids.kernelObject(u.state.viommu), label: 'vIOMMU' }] : [],
      ...section,
    };
  });
  const devices = g.vmm.units.flatMap((u) => [...u.state.devices].reverse());
  const lines = devices.map((d) => `${hex(d.vsid)} ${d.name}${d.vdevice ? ` → vDEVICE ${d.vdevice}` : ''}`);
  return [
    ...units,
    {
      id: g.vmm.ids.devices,
      band: 'vmm',
      type: 'vSID map',
      title: 'vSID → vDEVICE',
      lines,
      listed: true,
      refs: [],
      ...section,
    },
  ];
}

export function kernelObjects(p: Parts): SceneObject[] {
  if (!isProbed(p)) return [];
  // Two guests have objects of the same numbers, each in the iommufd file of its VMM.
  const ownerOf = (o: { readonly id: string; readonly object: number }): string | undefined =>
    p.guests.length > 1 ? p.guests.find((g) => g.vmm.ids.kernelObject(o.object) === o.id)?.name : undefined;
  const sectionOf = (owner: string | undefined) => (owner === undefined ? {} : { section: owner });
  const out: SceneObject[] = p.iommufd.objects().map((o) => ({
    ...sectionOf(ownerOf(o)),
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
  for (const u of p.units)
    placed.push({
      id: u.driver.sceneId(),
      band: 'kernel',
      type: 'driver',
      title: p.units.length > 1 ? `arm-smmu-v3 ${u.name}` : 'arm-smmu-v3',
      lines: [`${u.driver.state.log.length} log lines`],
      refs: [],
    });
  return placed;
}
