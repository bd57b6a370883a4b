import { hexPlain } from '../../bits/index.ts';
import { scoped } from '../../machine/scope.ts';

/** Scene ids of one virtual unit on the guest's side, and of the VMM's end of it. */
export interface UnitIds {
  readonly scope: string;
  readonly iq: string;
  readonly prq: string;
  readonly frcd: string;
  readonly root: string;
  /** The VMM's object that the guest's register accesses trap to. */
  readonly viommu: string;
  /** Context entry of a source id. */
  context(rid: number): string;
  /** PASID entry of a source id: 0 is that of requests without PASID. */
  pasid(rid: number, pasid: number): string;
}

/** @param guest scope of the guest, @param unit scope of the virtual unit in it; either empty when there is only one */
export function unitIds(guest: string, unit: string): UnitIds {
  const scope = [guest, unit].filter((s) => s !== '').join('.');
  const id = (rest: string): string => scoped('guest', scope, rest);
  return {
    scope,
    iq: id('iq'),
    prq: id('prq'),
    frcd: id('frcd'),
    root: id('root'),
    viommu: scoped('vmm', scope, 'viommu'),
    context: (rid) => id(`context.${hexPlain(rid)}`),
    pasid: (rid, pasid) => id(`pasid.${hexPlain(rid)}.${hexPlain(pasid)}`),
  };
}

/** The page table of a DMA domain or of a process: it belongs to the guest's kernel, whichever unit uses it. */
export const tableId = (guest: string, domain: string): string => scoped('guest', guest, `fs.${domain}`);
