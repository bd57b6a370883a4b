import { hex, hexPlain } from '../../bits/index.ts';
import type { SceneObject } from '../../machine/index.ts';
import { ridText } from '../../pci/index.ts';
import { kernelObjects as allKernelObjects, withItsUser } from '../../platform/index.ts';
import { type Domain, domainOf } from '../linux/index.ts';
import type { Guest, Parts, Unit } from './parts.ts';

const TES = 1n << 31n;

/** `00:01.0` of a requester id in segment 0, all of it in another. */
export const slotText = (rid: number): string => ridText(rid).replace(/^0000:/, '');

/** What is to be seen of one VMM: nothing before it has started. */
export function vmmObjects(p: Parts, g: Guest): SceneObject[] {
  if (!g.vmm.state.started) return [];
  const section = p.guests.length > 1 ? { section: g.name } : {};
  const several = g.vmm.units.length > 1;
  const object = g.vmm.ids.kernelObject;
  const units = g.vmm.units.map((u): SceneObject => {
    const bound = u.state.devices.flatMap((d) => d.bindings.filter((b) => b.hwpt !== 0));
    return {
      id: u.ids.viommu,
      band: 'vmm',
      type: 'vIOMMU',
      title: several ? `vIOMMU ${u.name}` : 'vIOMMU',
      lines: [u.readVirtual('GSTS_REG') & TES ? 'enabled' : 'disabled', 'traps IQT_REG'],
      refs: bound.map((b) => ({ to: object(b.hwpt), label: `PASID ${hexPlain(b.pasid)}` })),
      ...section,
    };
  });
  // One nested HWPT for each pair that the guest has a first-stage table for.
  const lines = g.vmm.units.flatMap((u) =>
    u.state.devices.flatMap((d) => {
      const bindings = [...d.bindings].sort((a, b) => a.pasid - b.pasid);
      if (bindings.length === 0) return [`${slotText(d.vrid)} nothing bound`];
      return bindings.map(
        (b) => `${slotText(d.vrid)} ${hexPlain(b.pasid)} → ${b.hwpt ? `HWPT ${b.hwpt}` : `parent ${d.parent}`}`,
      );
    }),
  );
  return [
    ...units,
    {
      id: g.vmm.ids.devices,
      band: 'vmm',
      type: 'PASID map',
      title: 'vRID, PASID → HWPT',
      lines,
      listed: true,
      refs: [],
      ...section,
    },
  ];
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

/** `DID 4 HWPT 7 · 2 tags` for each domain that has a number behind the unit. */
function didLines(p: Parts, u: Unit): string[] {
  const index = p.units.indexOf(u);
  const names = new Map(
    p.iommufd.objects().flatMap((o) => {
      const domain = domainOfObject(p, o.id);
      return domain ? [[domain.handle, `HWPT ${o.object}`] as const] : [];
    }),
  );
  return [...p.drivers.kernel.state.domains.values()]
    .flatMap((d) =>
      d.dids
        .filter((x) => x.unit === index)
        .map((x) => ({ did: x.did, name: names.get(d.handle) ?? d.kind, tags: d.tags.length })),
    )
    .sort((a, b) => a.did - b.did)
    .map((x) => `DID ${x.did} ${x.name} · ${x.tags} tag${x.tags === 1 ? '' : 's'}`);
}

export const kernelObjects = (p: Parts): SceneObject[] =>
  allKernelObjects(
    p,
    (o, all) => {
      if (o.type !== 'HWPT_NESTED') return o;
      const domain = domainOfObject(p, o.id);
      const placed = withItsUser(o, all);
      return domain ? { ...placed, lines: nestedLines(placed, all, domain) } : placed;
    },
    (u) => ({
      title: p.units.length > 1 ? `intel-iommu ${u.name}` : 'intel-iommu',
      lines: [`${u.log().length} log lines`, ...didLines(p, u)],
    }),
  );
