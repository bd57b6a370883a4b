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
import { unlessFull } from '../../pagetable/table-pages.ts';
import {
  linuxTable,
  readAndClearDirty,
  type TableConfig,
  type TableStep,
  Vmsav8Table,
} from '../../pagetable/vmsav8-table.ts';
import { invalidateRange } from './flush.ts';
import { allocateTag, featuresOf, type Host, type PagingDomain } from './state.ts';

/** Paging domains: their page tables, tags and mappings (arm-smmu-v3.c arm_smmu_domain_alloc_paging_flags, _finalise, _free). */

const NEST_PARENT = 1;
const DIRTY_TRACKING = 2;
const PASID = 8;

/** Stage 1 unless a nesting parent is asked for, which is stage 2. */
export function allocPaging(h: Host, flags: number, data: UserData | null): Result<DomainInfo> {
  const f = featuresOf(h);
  if (flags & ~(NEST_PARENT | DIRTY_TRACKING | PASID) || data) return fail('EOPNOTSUPP');
  const nestParent = flags === NEST_PARENT;
  if (flags & NEST_PARENT && !nestParent) return fail('EOPNOTSUPP');
  if (nestParent && !f.nesting) return fail('EOPNOTSUPP');
  if (flags & (DIRTY_TRACKING | PASID) && !f.stage1) return fail('EOPNOTSUPP');
  const stage = nestParent || !f.stage1 ? 2 : 1;
  const dirty = (flags & DIRTY_TRACKING) !== 0;
  const cfg: TableConfig = {
    ...linuxTable(stage, f, h.page),
    coherent: f.coherent,
    fwb: stage === 2 && f.s2fwb && nestParent,
    hd: dirty,
  };
  const tags = stage === 1 ? h.state.asids : h.state.vmids;
  const tag = allocateTag(tags, stage === 1 ? f.asidBits : f.vmidBits);
  if (tag === null) return fail('ENOSPC');
  const table = unlessFull(() => new Vmsav8Table(h.memory, h.pages, cfg));
  if (!table) {
    tags.splice(tags.indexOf(tag), 1);
    return fail('ENOMEM');
  }
  const handle = h.state.nextDomain++;
  h.tables.set(handle, table);
  const d = { handle, stage, nestParent, tag, table: cfg, root: table.root, dirty, faults: false, invalidations: [] };
  h.state.paging.set(handle, d as PagingDomain);
  const aperture = { start: 0n, last: 2n ** BigInt(cfg.inputBits) - 1n };
  return ok({ handle, minPageSize: table.geometry.granule, aperture });
}

/** Sends nothing: a domain that nobody is attached to has no entries. */
export function freeDomain(h: Host, domain: DomainHandle): void {
  if (h.state.nested.delete(domain)) return;
  const d = h.state.paging.get(domain)!;
  h.tables.get(domain)!.free();
  h.tables.delete(domain);
  h.state.paging.delete(domain);
  const tags = d.stage === 1 ? h.state.asids : h.state.vmids;
  tags.splice(tags.indexOf(d.tag), 1);
}

export function* mapDomain(h: Host, domain: DomainHandle, iova: number, runs: readonly Run[], prot: number): Op<Errno> {
  const r = yield* follow(h, domain, h.tables.get(domain)!.mapRuns(iova, runs, prot));
  return r.errno as Errno;
}

export function unmapDomain(h: Host, domain: DomainHandle, iova: number, size: number): Op<number> {
  return follow(h, domain, h.tables.get(domain)!.unmap(iova, size));
}

/** Runs a change of a page table: its writes are traced, its flushes sent before it goes on. */
function* follow<T>(h: Host, domain: DomainHandle, change: Generator<TableStep, T, void>): Op<T> {
  const d = h.state.paging.get(domain)!;
  for (;;) {
    const r = change.next();
    if (r.done) return r.value;
    const step = r.value;
    if (step.kind === 'write') {
      h.trace.listener?.({
        kind: 'table.write',
        actor: 'driver',
        at: h.upcalls!.domainSceneId(domain),
        space: 'host',
        address: step.address,
        words: step.words,
        layout: step.layout,
        text: `stage ${d.stage}: ${step.text}`,
      });
      yield pause('driver', 'table.write');
    } else yield* invalidateRange(h, d, step);
  }
}

/**
 * arm_smmu's read_and_clear_dirty over some stretches, and one flush from the first to the last leaf that became clean: a
 * cached translation that says dirty would take further writes without a mark.
 */
export function* readDirty(
  h: Host,
  domain: DomainHandle,
  stretches: readonly Dirty[],
  clear: boolean,
): Op<{ errno: Errno; dirty: readonly Dirty[] }> {
  const table = h.tables.get(domain)!;
  const dirty: Dirty[] = [];
  let errno: Errno = '0';
  for (const s of stretches) {
    const r = yield* follow(h, domain, readAndClearDirty(table, h.memory, s.iova, s.size, clear));
    dirty.push(...r.dirty);
    errno = r.errno as Errno;
    if (errno !== '0') break;
  }
  const [first, last] = [dirty[0], dirty.at(-1)];
  if (clear && first && last && h.rules.flushesCleaned()) {
    const size = last.iova + last.size - first.iova;
    yield* invalidateRange(h, h.state.paging.get(domain)!, {
      kind: 'leaf',
      iova: first.iova,
      size,
      granule: table.geometry.granule,
    });
  }
  return { errno, dirty };
}

/** Page tables after a snapshot came back: they are in memory. */
export function restoreTables(h: Host): void {
  h.tables.clear();
  for (const d of h.state.paging.values()) h.tables.set(d.handle, new Vmsav8Table(h.memory, h.pages, d.table, d.root));
}
