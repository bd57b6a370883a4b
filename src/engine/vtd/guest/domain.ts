import type { GenericTable } from '../../pagetable/generic-table.ts';
import { secondStagePages, secondStageSize, secondStageTable } from '../../pagetable/vtd-second-stage-table.ts';
import { firstStageSize, firstStageTable } from '../../pagetable/x86-64-table.ts';
import { capsOf, newDomain as newLinuxDomain } from '../linux/index.ts';
import type { DmaDomain, Guest } from './state.ts';

type Shape = Pick<DmaDomain, 'stage' | 'levels' | 'inputBits' | 'pageSizes'>;

/**
 * intel_iommu_domain_alloc_paging_flags for the DMA layer: a first-stage table where the unit has a first stage in scalable
 * mode, else a second-stage one.
 */
function shapeFor(g: Guest, unit: number): Shape {
  const c = capsOf(g.kernel, unit);
  if (c.scalable && c.fsts) return { stage: 'first', ...firstStageSize(c) };
  const size = secondStageSize(c.sagaw, c.mgaw);
  if (!size) throw new Error(`unit ${unit} has no table that Linux knows`);
  return { stage: 'second', ...size, pageSizes: secondStagePages(c.sslps) };
}

/** @throws RangeError when the guest has no page for it */
export function newDomain(g: Guest, name: string, unit: number): DmaDomain {
  const shape = shapeFor(g, unit);
  const { bus, pages } = g.kernel;
  const c = capsOf(g.kernel, unit);
  const table = shape.stage === 'first' ? firstStageTable(bus, pages, shape) : secondStageTable(bus, pages, shape);
  const made = newLinuxDomain(g.kernel, {
    kind: shape.stage === 'first' ? 'fs' : 'ss',
    root: BigInt(table.root),
    levels: shape.levels,
    coherent: c.scalable ? c.smpwcs : c.c,
    syncMap: c.rwbf || (shape.stage === 'second' && c.cm),
    superPages: shape.stage === 'second' ? c.sslps : c.fs1gp ? 3 : 1,
  });
  const d: DmaDomain = {
    name,
    handle: made.handle,
    ...shape,
    root: table.root,
    mappings: [],
    queued: 0,
    queuedUnmaps: 0,
    queuedTables: [],
  };
  g.state.domains.push(d);
  return d;
}

/** The domain's page table; all its content lies in guest memory. */
export function tableOf(g: Guest, d: DmaDomain): GenericTable {
  const make = d.stage === 'first' ? firstStageTable : secondStageTable;
  return make(g.kernel.bus, g.kernel.pages, d, d.root);
}
