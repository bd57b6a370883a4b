import { hex } from '../../bits/index.ts';
import type { SceneObject } from '../../machine/index.ts';
import { kernelObjects as allKernelObjects, vmmObjects as allVmmObjects, withItsUser } from '../../platform/index.ts';
import type { Guest, Parts } from './parts.ts';

/** What is to be seen of one VMM: nothing before it has started. */
export function vmmObjects(p: Parts, g: Guest): SceneObject[] {
  if (!g.vmm.state.started) return [];
  const unit = (index: number): Pick<SceneObject, 'lines' | 'refs'> => {
    const u = g.vmm.units[index]!;
    const cr0 = Number(u.readVirtual('CR0'));
    return {
      lines: [cr0 & 1 ? 'enabled' : cr0 & 8 ? 'queues on' : 'disabled', 'traps CMDQ_PROD'],
      refs: u.state.viommu ? [{ to: g.vmm.ids.kernelObject(u.state.viommu), label: 'vIOMMU' }] : [],
    };
  };
  const devices = g.vmm.units.flatMap((u) => [...u.state.devices].reverse());
  const lines = devices.map((d) => `${hex(d.vsid)} ${d.name}${d.vdevice ? ` → vDEVICE ${d.vdevice}` : ''}`);
  return allVmmObjects(p, g, 'vSMMU', unit, { type: 'vSID map', title: 'vSID → vDEVICE', lines });
}

export const kernelObjects = (p: Parts): SceneObject[] =>
  allKernelObjects(
    p,
    // A translating nested page table stands with the device that uses it, if it is only one; the VMM's two ready-made ones
    // (abort, bypass) are anybody's.
    (o, all) => (o.type === 'HWPT_NESTED' && o.lines[0]?.startsWith('stage 1') ? withItsUser(o, all) : o),
    (u) => ({
      title: p.units.length > 1 ? `arm-smmu-v3 ${u.name}` : 'arm-smmu-v3',
      lines: [`${u.log().length} log lines`],
    }),
  );
