import {
  type Dirty,
  type DomainHandle,
  type DomainInfo,
  type Errno,
  fail,
  ok,
  type Result,
  type Run,
  type UserData,
} from '../../iommufd/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import type { GenericTable, GenericTableStep } from '../../pagetable/generic-table.ts';
import { readAndClearDirty } from '../../pagetable/generic-table-dirty.ts';
import { unlessFull } from '../../pagetable/table-pages.ts';
import { Prot } from '../../pagetable/vmsav8-table-format.ts';
import { secondStagePages, secondStageSize, secondStageTable } from '../../pagetable/vtd-second-stage-table.ts';
import { firstStageSize, firstStageTable } from '../../pagetable/x86-64-table.ts';
import {
  type Capabilities,
  capsOf,
  type Domain,
  deviceOf,
  domainOf,
  flushRange,
  flushRangeNp,
  flushUnmapped,
  freeDomain as freeCoreDomain,
  log,
  newDomain,
} from '../linux/index.ts';
import type { Host, TableSpec } from './state.ts';

/** Paging domains: their page tables and mappings (drivers/iommu/intel/iommu.c, drivers/iommu/iommu.c). */

const NEST_PARENT = 1;
const DIRTY_TRACKING = 2;
export const PASID = 8;

/**
 * intel_iommu_domain_alloc_paging_flags: a first-stage table where the unit has that stage and nothing but PASIDs is asked
 * for, else a second-stage one. iommufd enforces cache coherency at once where the unit can.
 */
export function allocPaging(h: Host, device: string, flags: number, data: UserData | null): Result<DomainInfo> {
  if (data) return fail('EOPNOTSUPP');
  const c = capsOf(h.kernel, deviceOf(h.kernel, device).unit);
  const first = firstStage(h, c, flags);
  return first ?? secondStage(h, c, flags);
}

/** null: EOPNOTSUPP, the other stage is tried. */
function firstStage(h: Host, c: Capabilities, flags: number): Result<DomainInfo> | null {
  if (flags & ~PASID || !c.scalable || !c.fsts) return null;
  const size = firstStageSize(c);
  const table = unlessFull(() => firstStageTable(h.memory, h.pages, size));
  if (!table) return fail('ENOMEM');
  const forceSnooping = h.rules.enforcesCoherency(c.sc);
  const spec = { stage: 1 as const, ...size, forceCoherence: false, forceWriteable: false };
  return registered(h, table, spec, {
    kind: 'fs',
    coherent: c.smpwcs,
    syncMap: c.rwbf,
    forceSnooping,
    superPages: c.fs1gp ? 3 : 1,
  });
}

function secondStage(h: Host, c: Capabilities, flags: number): Result<DomainInfo> {
  const nestParent = (flags & NEST_PARENT) !== 0;
  const dirtyOps = (flags & DIRTY_TRACKING) !== 0;
  if (flags & ~(NEST_PARENT | DIRTY_TRACKING | PASID)) return fail('EOPNOTSUPP');
  if ((nestParent && !c.nested) || (dirtyOps && !c.dirtyTracking)) return fail('EOPNOTSUPP');
  if (c.scalable && !c.ssts) return fail('EOPNOTSUPP');
  const size = secondStageSize(c.sagaw, c.mgaw);
  if (!size) return fail('EINVAL');
  const forceSnooping = h.rules.enforcesCoherency(c.sc);
  const pageSizes = secondStagePages(c.sslps);
  const features = { forceCoherence: forceSnooping, forceWriteable: h.rules.refusesReadOnly(nestParent) };
  const table = unlessFull(() => secondStageTable(h.memory, h.pages, { ...size, ...features, pageSizes }));
  if (!table) return fail('ENOMEM');
  return registered(
    h,
    table,
    { stage: 2, ...size, pageSizes, ...features },
    {
      kind: 'ss',
      nestParent,
      dirtyOps,
      coherent: c.scalable ? c.smpwcs : c.c,
      syncMap: c.rwbf || c.cm,
      forceSnooping,
      superPages: c.sslps & 3,
    },
  );
}

function registered(
  h: Host,
  table: GenericTable,
  spec: Omit<TableSpec, 'root'>,
  o: Parameters<typeof newDomain>[1],
): Result<DomainInfo> {
  const d = newDomain(h.kernel, { ...o, root: BigInt(table.root), levels: table.levels, inputBits: spec.inputBits });
  h.tables.set(d.handle, table);
  h.specs.set(d.handle, { ...spec, root: table.root });
  const aperture = { start: 0n, last: BigInt(table.end) - 1n };
  return ok({ handle: d.handle, minPageSize: 4096, aperture });
}

/** Sends nothing: all devices have been detached, and flushed, before. */
export function freeDomain(h: Host, handle: DomainHandle): void {
  freeCoreDomain(h.kernel, domainOf(h.kernel, handle));
  h.tables.get(handle)?.free();
  h.tables.delete(handle);
  h.specs.delete(handle);
}

/**
 * One iommu_map a stretch, each with its iotlb_sync_map where the unit needs one; when one fails, what was mapped before it
 * goes again.
 */
export function* mapDomain(h: Host, handle: DomainHandle, iova: number, runs: readonly Run[], prot: number): Op<Errno> {
  const d = domainOf(h.kernel, handle);
  const table = h.tables.get(handle)!;
  let at = iova;
  for (const part of d.syncMap ? runs.map((r) => [r]) : [runs]) {
    const done = yield* follow(h, d, table.mapRuns(at, part, prot));
    if (done.errno !== '0') {
      if (prot & (Prot.read | Prot.write) && table.format.prot(prot) !== '0')
        log(h.kernel, h.kernel.units[0]!.ids.driver, READ_ONLY);
      if (at > iova) yield* unmapDomain(h, handle, iova, at - iova);
      return done.errno as Errno;
    }
    yield* flushRangeNp(h.kernel, d, BigInt(at), BigInt(at + done.mapped) - 1n);
    at += done.mapped;
  }
  return '0';
}

const READ_ONLY =
  'Read-only mapping is disallowed on the domain which serves as the parent in a nested configuration, due to HW errata ' +
  '(ERRATA_772415_SPR17)';

/** iommu_unmap: entries go, then one flush of what went, then the tables that went with them. */
export function* unmapDomain(h: Host, handle: DomainHandle, iova: number, size: number): Op<number> {
  const d = domainOf(h.kernel, handle);
  const table = h.tables.get(handle)!;
  const { unmapped, freed } = yield* follow(h, d, table.unmap(iova, size));
  if (unmapped > 0) {
    const start = BigInt(iova);
    yield* flushUnmapped(h.kernel, d, start, start + BigInt(unmapped) - 1n, freed.length > 0);
  }
  table.release(freed);
  return unmapped;
}

/** Runs a change of a page table: its writes are traced, its flushes sent before it goes on. */
function* follow<T>(h: Host, d: Domain, change: Generator<GenericTableStep, T, void>): Op<T> {
  for (;;) {
    const r = change.next();
    if (r.done) return r.value;
    const step = r.value;
    if (step.kind === 'flush') {
      const start = BigInt(step.iova);
      yield* flushUnmapped(h.kernel, d, start, start + BigInt(step.size) - 1n, step.freed);
      continue;
    }
    h.trace.listener?.({
      kind: 'table.write',
      actor: 'driver',
      at: h.upcalls!.domainSceneId(d.handle),
      space: 'host',
      address: step.address,
      words: step.words,
      layout: step.layout,
      text: `${d.kind === 'fs' ? 'first' : 'second'} stage: ${step.text}`,
    });
    yield pause('driver', 'table.write');
  }
}

/**
 * read_and_clear_dirty over some stretches, and one flush from the first to the last leaf that became clean: a cached
 * translation that says dirty would take further writes without a mark.
 */
export function* readDirty(
  h: Host,
  handle: DomainHandle,
  stretches: readonly Dirty[],
  clear: boolean,
): Op<{ errno: Errno; dirty: readonly Dirty[] }> {
  const d = domainOf(h.kernel, handle);
  const table = h.tables.get(handle)!;
  const dirty: Dirty[] = [];
  let errno: Errno = '0';
  for (const s of stretches) {
    const r = yield* follow(h, d, readAndClearDirty(table, h.memory, s.iova, s.size, clear));
    dirty.push(...r.dirty);
    errno = r.errno as Errno;
    if (errno !== '0') break;
  }
  const [first, last] = [dirty[0], dirty.at(-1)];
  if (clear && first && last && h.rules.flushesCleaned())
    yield* flushRange(h.kernel, d, BigInt(first.iova), BigInt(last.iova) + BigInt(last.size) - 1n, true);
  return { errno, dirty };
}

/** Page tables after a snapshot came back: they are in memory. */
export function restoreTables(h: Host): void {
  h.tables.clear();
  for (const [handle, s] of h.specs)
    h.tables.set(
      handle,
      s.stage === 1 ? firstStageTable(h.memory, h.pages, s, s.root) : secondStageTable(h.memory, h.pages, s, s.root),
    );
}
