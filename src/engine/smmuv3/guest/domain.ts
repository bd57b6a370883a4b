import { type Granule, Vmsav8Table } from '../../pagetable/vmsav8-table.ts';
import type { Domain, Kernel, Unit } from './state.ts';
import { freeAsid } from './sva.ts';

/** Virtual addresses of an arm64 kernel without 52-bit addresses (VA_BITS). */
const VA_BITS = 48;

/**
 * arm_smmu_domain_finalise: a page table of the granule that fits the CPU's pages best, and the lowest free ASID.
 * @returns why there is none
 */
export function newDomain(k: Kernel, name: string, u: Unit): Domain | string {
  const f = u.state.features;
  const granule = granuleFor(k.page, f?.granules ?? [12]);
  // io-pgtable has 52-bit addresses with 64 KiB pages only.
  const outputBits = Math.min(f?.oas ?? 44, granule === 65536 ? 52 : 48);
  const asid = freeAsid(k, f?.asid16 === false ? 8 : 16);
  if (asid === 0) return 'no ASID is free';
  const t = new Vmsav8Table(k.memory, k.pages, { stage: 1, inputBits: VA_BITS, outputBits, granule });
  const d: Domain = {
    name,
    asid,
    granule,
    unit: -1,
    invs: [],
    root: t.root,
    inputBits: VA_BITS,
    outputBits,
    mappings: [],
    queued: 0,
    queuedUnmaps: 0,
  };
  k.state.domains.push(d);
  return d;
}

/** arm_lpae_restrict_pgsizes: the CPU's page size if the SMMU has it, else the largest below it, else the smallest above it. */
export function granuleFor(page: Granule, granules: readonly number[]): Granule {
  const sizes = granules.map((g) => 2 ** g).sort((a, b) => a - b);
  const below = sizes.filter((s) => s <= page).at(-1);
  return (below ?? sizes[0] ?? 4096) as Granule;
}

/** A domain belongs to the SMMU of the first device that is attached to it; before that it must only fit. */
export function suits(d: Domain, u: Unit): boolean {
  if (d.unit !== -1) return d.unit === u.index;
  const f = u.state.features;
  return !!f && f.granules.includes(Math.log2(d.granule)) && d.outputBits <= f.oas;
}
