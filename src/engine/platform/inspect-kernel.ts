import { hex } from '../bits/index.ts';
import type { PageRequest } from '../iommufd/index.ts';
import type { InspectedRecord, Inspection, SceneObject } from '../machine/index.ts';
import type { Machine, Unit } from './machine.ts';
import { type Base, fact } from './scene-queue.ts';

/** The last lines of the kernel's log of a unit. */
export const inspectDriver = (unit: Unit, base: Base): Inspection => ({
  ...base,
  facts: unit
    .log()
    .slice(-12)
    .map((l, i) => fact(i === 0 ? 'kernel log' : '', l)),
});

/** An iommufd object: what it refers to, the page requests in it, and `records` that a vendor knows of it. */
export const inspectObject = (
  p: Machine,
  object: SceneObject,
  base: Base,
  records: readonly InspectedRecord[],
): Inspection => ({
  ...base,
  facts: [
    ...object.refs.map((r) => fact(r.label ?? 'reference', r.to.replace('kernel.obj.', 'object '))),
    ...pageFaults(p, object.id),
  ],
  records,
});

/** The page requests in a fault queue: those that nobody has read, and those that wait for an answer, by their cookie. */
function pageFaults(p: Machine, id: string): Base['facts'] {
  const o = p.iommufd.object(id);
  if (o?.type !== 'FAULT') return [];
  const one = (name: string, device: number, r: PageRequest) =>
    fact(
      name,
      `DEVICE ${device}${r.pasid === null ? '' : ` PASID ${r.pasid}`} at ${hex(r.address)}`,
      `group ${r.group}${r.last ? ', last of it' : ''}; wants ${permText(r.perm)}`,
    );
  return [
    ...o.deliver.flatMap((g) => g.requests.map((r) => one('not read yet', g.device, r))),
    ...[...o.response].flatMap(([cookie, g]) => g.requests.map((r) => one(`cookie ${cookie}`, g.device, r))),
  ];
}

/** enum iommu_hwpt_pgfault_perm. */
const permText = (perm: number): string =>
  ['read', 'write', 'execute', 'privileged'].filter((_, i) => (perm >> i) & 1).join(', ') || 'nothing';
