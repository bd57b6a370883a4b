import { hex, hexPlain } from '../../bits/index.ts';
import type { SceneObject } from '../../machine/index.ts';
import { slotText } from '../../pci/index.ts';
import {
  kernelObjects as allKernelObjects,
  vmmObjects as allVmmObjects,
  count,
  withItsUser,
} from '../../platform/index.ts';
import { type Domain, domainOf } from '../linux/index.ts';
import type { Guest, Parts, Unit } from './parts.ts';

const TES = 1n << 31n;

/** What is to be seen of one VMM: nothing before it has started. */
export function vmmObjects(p: Parts, g: Guest): SceneObject[] {
  if (!g.vmm.state.started) return [];
  const object = g.vmm.ids.kernelObject;
  const unit = (index: number): Pick<SceneObject, 'lines' | 'refs'> => {
    const u = g.vmm.units[index]!;
    const bound = u.state.devices.flatMap((d) => d.bindings.filter((b) => b.hwpt !== 0));
    return {
      lines: [u.readVirtual('GSTS_REG') & TES ? 'enabled' : 'disabled', 'traps IQT_REG'],
      refs: bound.map((b) => ({ to: object(b.hwpt), label: `PASID ${hexPlain(b.pasid)}` })),
    };
  };
  // One nested HWPT for each pair that the guest has a first-stage table for; a device's pairs in one line, to stay in sight.
  const lines = g.vmm.units.flatMap((u) =>
    u.state.devices.map((d) => {
      const bindings = [...d.bindings].sort((a, b) => a.pasid - b.pasid);
      if (bindings.length === 0) return `${slotText(d.vrid)} not bound`;
      // Without a nested one it is VFIO's nesting parent.
      const pairs = bindings.map((b) => `${hexPlain(b.pasid)} → ${b.hwpt || d.parent}`);
      return `${slotText(d.vrid)} PASID ${pairs.join(', ')}`;
    }),
  );
  return allVmmObjects(p, g, 'vIOMMU', unit, { type: 'PASID map', title: 'vRID, PASID → HWPT', lines });
}

/** A nested page table stands with the device that uses it, or for which it was made while nobody does. */
function placedNested(p: Parts, o: SceneObject, all: readonly SceneObject[]): SceneObject {
  const hwpt = p.iommufd.object(o.id);
  const used = all.some((d) => d.type === 'DEVICE' && d.refs.some((r) => r.to === o.id));
  return used || hwpt?.type !== 'HWPT_NESTED' ? withItsUser(o, all) : { ...o, device: hwpt.madeFor };
}

/** Lines of a nested page table: whose it is, and where its first table lies. */
function nestedLines(o: SceneObject, all: readonly SceneObject[], domain: Domain): string[] {
  const dids = [...new Set(domain.dids.map((d) => d.did))];
  const did = dids.length ? ` · DID ${dids.join(', ')}` : '';
  const users = all.flatMap((d) =>
    d.type !== 'DEVICE'
      ? []
      : d.refs.flatMap((r) => {
          if (r.to !== o.id) return [];
          const pasid = r.label === 'attached' ? 0 : Number(r.label?.replace('pasid ', ''));
          // In its device's own column a page table needs no name.
          return [`${d.device === o.device ? '' : `${d.device} `}PASID ${hexPlain(pasid)}${did}`];
        }),
  );
  return [...(users.length ? users : ['not attached']), `FS ${hex(domain.root & ~0xfffn)}`];
}

/** The domain behind an HWPT. */
export function domainOfObject(p: Parts, id: string): Domain | null {
  const o = p.iommufd.object(id);
  return o?.type === 'HWPT_NESTED' || o?.type === 'HWPT_PAGING' ? domainOf(p.drivers.kernel, o.domain) : null;
}

/** How many domain ids the driver has given out behind a unit, and the cache tags for them. */
function didText(p: Parts, u: Unit): string {
  const unit = p.units.indexOf(u);
  const domains = [...p.drivers.kernel.state.domains.values()];
  const dids = domains.flatMap((d) => d.dids.filter((x) => x.unit === unit)).length;
  const tags = domains.flatMap((d) => d.tags.filter((t) => t.unit === unit)).length;
  return `${count(dids, 'DID')}, ${count(tags, 'tag')}`;
}

export const kernelObjects = (p: Parts): SceneObject[] =>
  allKernelObjects(
    p,
    (o, all) => {
      if (o.type !== 'HWPT_NESTED') return o;
      const domain = domainOfObject(p, o.id);
      const placed = placedNested(p, o, all);
      return domain ? { ...placed, lines: nestedLines(placed, all, domain) } : placed;
    },
    (u) => ({
      title: p.units.length > 1 ? `intel-iommu ${u.name}` : 'intel-iommu',
      lines: [didText(p, u), count(u.log().length, 'log line')],
    }),
  );
