import { scoped } from '../machine/scope.ts';
import { viommuScope } from '../machine/units.ts';
import type { TraceEvent } from '../trace/index.ts';
import type { Expect } from './expect-schema.ts';
import type { Outcome } from './outcome.ts';

/** Which part of the machine an expectation means: the events of one guest, its VMM included, or of one unit. */

type Place = (prefix: string) => string[];

const guestPlaces = (name: string, o: Outcome): Place => {
  const several = o.addressees.guests.length > 1;
  return (prefix) => (prefix === 'hw' ? [] : [scoped(prefix, several ? name : '', '')]);
};

function unitPlaces(name: string, guest: string | undefined, o: Outcome): Place {
  const { iommus, guests, virtualUnits } = o.addressees;
  const virtual = virtualUnits.filter((u) => u.name === name && (guest === undefined || u.guest === guest));
  return (prefix) => {
    if (prefix === 'hw') return iommus.includes(name) ? [scoped('hw', iommus.length > 1 ? name : '', '')] : [];
    return virtual.map((u) => {
      const scope = [guests.length > 1 ? u.guest : '', viommuScope(virtualUnits, u)].filter(Boolean).join('.');
      return scoped(prefix, scope, '');
    });
  };
}

/**
 * The events that an expectation counts or lists.
 * @returns null when it names neither guest nor unit: then all of them
 */
export function selected(expect: Expect, o: Outcome): readonly TraceEvent[] | null {
  const { guest, unit } = expect;
  if (guest === undefined && unit === undefined) return null;
  const place = unit === undefined ? guestPlaces(guest!, o) : unitPlaces(unit, guest, o);
  const starts = ['hw', 'guest', 'vmm'].flatMap(place);
  return o.events.filter((e) => starts.some((s) => e.at.startsWith(s)));
}

/** `exits`, `ioctls` and `syncs` of those events; the commands that hardware executed of its queues. */
export function countOf(what: 'exits' | 'ioctls' | 'syncs', events: readonly TraceEvent[]): number {
  const kind = what === 'exits' ? 'trap' : what === 'ioctls' ? 'ioctl.enter' : 'sync';
  return events.filter((e) => e.kind === kind && (e.kind !== 'sync' || e.actor === 'iommu')).length;
}
