import { hexPlain } from '../bits/index.ts';
import { type Operation, viommuScope } from '../machine/index.ts';
import type { PciDevice } from '../pci/index.ts';
import { type Guest, guestOfDevice, type Machine } from './machine.ts';

/** Which guest's queue a command belongs on, as far as there are several. */
export type Queue = { readonly guest?: string; readonly unit?: string };

/** Guest and virtual unit on whose queue a command for a device belongs, as far as there are several; null: nobody's. */
export function queueOf(p: Machine, d: PciDevice | undefined): Queue | null {
  if (!d) return p.guests.length === 1 && p.guests[0]!.units.length === 1 ? {} : null;
  const g = guestOfDevice(p, d);
  const unit = g.units.find((x) => x.devices.includes(d.name))!;
  return { ...whose(p, g), ...(viommuScope(g.units, unit) === '' ? {} : { unit: unit.name }) };
}

/** The guest by name while there are several. */
export const whose = (p: Machine, g: Guest): { guest?: string } => (p.guests.length > 1 ? { guest: g.name } : {});

type Fields = Readonly<Record<string, number | bigint>>;

/** A command of the guest as an operation of the document. */
export const commandOperation = (queue: Queue, name: string, fields: Fields = {}): Operation => ({
  do: 'guest.invalidate',
  ...queue,
  command: { name, ...Object.fromEntries(Object.entries(fields).map(([k, v]) => [k, hexPlain(v)])) },
});
