import { hexPlain } from '../../bits/index.ts';
import { scoped } from '../../machine/scope.ts';

/** Scene ids of one vSMMU on the guest's side, and of the VMM's end of it. */
export interface UnitIds {
  readonly scope: string;
  readonly cmdq: string;
  readonly evtq: string;
  readonly priq: string;
  readonly strtab: string;
  /** The VMM's object that the guest's register accesses trap to. */
  readonly vsmmu: string;
}

/** @param guest scope of the guest, @param unit scope of the vSMMU in it; either empty when there is only one */
export function unitIds(guest: string, unit: string): UnitIds {
  const scope = [guest, unit].filter((s) => s !== '').join('.');
  const id = (rest: string): string => scoped('guest', scope, rest);
  return {
    scope,
    cmdq: id('cmdq'),
    evtq: id('evtq'),
    priq: id('priq'),
    strtab: id('strtab'),
    vsmmu: scoped('vmm', scope, 'vsmmu'),
  };
}

/** The stream table entry of a vSID. @param scope as in `UnitIds.scope` */
export const steId = (scope: string, vsid: number): string => scoped('guest', scope, `ste.${hexPlain(vsid)}`);

/** The CD table that a device has allocated. */
export const cdTableId = (scope: string, owner: string): string => scoped('guest', scope, `cdtable.${owner}`);

/** The page table of a domain or of a process: it belongs to the guest's kernel, whichever vSMMU uses it. */
export const tableId = (guest: string, domain: string): string => scoped('guest', guest, `s1.${domain}`);
