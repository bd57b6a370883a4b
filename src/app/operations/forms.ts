import { operationForms } from '../../engine/document/authoring.ts';
import type { OperationForm } from '../../engine/document/index.ts';
import { findVendor } from '../../engine/machine/vendors.ts';

/** Operations that the vendor has, in the order in which people meet them. */
export function formsOf(vendor: string): readonly OperationForm[] {
  const known = findVendor(vendor)?.operations;
  return known ? operationForms.filter((f) => f.name === 'inject' || known.includes(f.name)) : operationForms;
}

export const actorTitle = {
  guest: 'Guest',
  device: 'Device',
  vmm: 'VMM',
  any: 'Any: kernel calls, memory, registers, faults',
} as const;

export function matches(f: OperationForm, filter: string): boolean {
  const line = `${f.name} ${f.title} ${f.about}`.toLowerCase();
  return filter
    .toLowerCase()
    .split(/\s+/)
    .every((w) => line.includes(w));
}
