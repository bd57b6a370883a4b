import { freeMemory, newMemory } from '../../guest/index.ts';
import type { Op } from '../../machine/index.ts';
import { noCd, processCd, writeCd } from './cd-table.ts';
import { invalidateExited, invalidateProcess } from './invalidate.ts';
import { cpuOf } from './process-table.ts';
import type { Kernel, Process } from './state.ts';

/** What the SMMU driver has to do with the address space of a process. */

/** From more pages than this on, arm64 drops the whole ASID (MAX_TLBI_RANGE_PAGES of CPUs with range invalidation). */
const MAX_FLUSH_PAGES = 2 ** 21;

export function newProcess(k: Kernel, name: string): Process {
  const p: Process = { ...newMemory(cpuOf(k), name), spaces: [] };
  k.state.processes.push(p);
  return p;
}

/** __flush_tlb_range on the process's ASID, as devices see it: every SVA domain of it, the newest first. */
export function* notify(k: Kernel, p: Process, from: number, to: number): Op<void> {
  const all = (to - from) / k.page > MAX_FLUSH_PAGES;
  const r = { iova: all ? 0 : from, size: all ? 0 : to - from, granule: k.page };
  for (const s of [...p.spaces].reverse()) yield* invalidateProcess(k, s, r);
}

/**
 * exit_mmap while devices may be bound: the CDs become quiet, so that accesses of the devices abort without an event
 * (arm_smmu_mm_release); the ASID and the ATCs are emptied; then the page tables are freed.
 */
export function* exit(k: Kernel, p: Process): Op<void> {
  p.exited = true;
  for (const s of [...p.spaces].reverse()) {
    const u = k.units[s.unit];
    const form = k.rules.exitCd();
    for (const m of u?.state.masters ?? [])
      for (const a of m.pasids) {
        if (!u || a.kind !== 'process' || a.name !== p.name || !m.cdTable || form === 'keep') continue;
        const cd = form === 'quiet' ? processCd(u, m, s.asid, p, 'quiet') : noCd();
        yield* writeCd(u, m, m.cdTable, a.pasid, cd);
      }
    yield* invalidateExited(k, s);
  }
  freeMemory(cpuOf(k), p);
  release(k, p);
}

/** The last reference to an exited process's memory is gone: its start table and its PASID are free again (__mmdrop). */
export function release(k: Kernel, p: Process): void {
  if (!p.exited || p.spaces.length > 0) return;
  k.pages.release(p.pgd, k.page);
  k.state.processes = k.state.processes.filter((x) => x !== p);
}
