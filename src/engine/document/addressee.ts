import { guestOf, type VirtualUnit, virtualUnits } from '../machine/units.ts';
import type { DeviceSpec, PlatformSpec } from '../machine/vendor.ts';
import { conversions } from './conversions.ts';
import type { Step } from './operations.ts';

/** Whom a step is for. Names are left out where there is only one. */
export interface Addressee {
  readonly guest?: string;
  readonly unit?: string;
}

/** Why it is not plain whom a step is for: completes "expected ..." at a field of the step. */
export interface Unaddressed {
  readonly field: string;
  readonly expected: string;
  readonly found?: string;
  /** The names that would do, when what stands there is none of them. */
  readonly known?: readonly string[];
}

type Values = Readonly<Record<string, unknown>>;

const text = (v: unknown): string | undefined => (typeof v === 'string' ? v : undefined);
const isUnaddressed = (a: Addressee | Unaddressed): a is Unaddressed => 'expected' in a;

/**
 * Finds the guest and the unit that a step is for. With several of them a step says so itself, unless its device or its
 * domain makes it plain; the steps are noted in order, so that each domain is known with the guests that have it.
 */
export class Addressees {
  readonly guests: readonly string[];
  readonly iommus: readonly string[];
  readonly virtualUnits: readonly VirtualUnit[];
  private readonly deviceGuests: ReadonlyMap<string, string>;
  private readonly several: boolean;
  /** Guests that have a domain or process of that name. */
  private readonly domains = new Map<string, Set<string>>();

  constructor(spec: PlatformSpec, devices: readonly DeviceSpec[]) {
    this.guests = spec.guests.map((g) => g.name);
    this.iommus = spec.iommus;
    this.virtualUnits = virtualUnits(spec, devices);
    this.deviceGuests = new Map(devices.map((d) => [d.name, guestOf(spec, d)]));
    this.several = this.guests.length > 1;
  }

  /** Forgets the steps. */
  clear(): void {
    this.domains.clear();
  }

  /** Takes in a step that later ones may rest on. */
  note(step: Step): void {
    if (!this.several) return;
    const v = step as unknown as Values;
    const fields = conversions[step.do];
    if (!fields) return;
    const domain = text(v['process']) ?? text(v['domain'] ?? fields['domain']?.default);
    if (domain === undefined) return;
    const a = this.of(step);
    if (isUnaddressed(a) || a.guest === undefined) return;
    const owners = this.domains.get(domain) ?? new Set<string>();
    this.domains.set(domain, owners.add(a.guest));
  }

  /** @returns whom a step is for, or what is missing */
  of(step: Step): Addressee | Unaddressed {
    const v = step as unknown as Values;
    const fields = conversions[step.do];
    if (!fields || !Object.hasOwn(fields, 'guest')) return {};
    const guest = this.guestFor(step, v);
    if (typeof guest === 'object') return guest;
    const named = guest === undefined || !this.several ? {} : { guest };
    if (!Object.hasOwn(fields, 'unit')) return named;
    const unit = this.unitFor(v, guest ?? this.guests[0]!);
    if (typeof unit === 'object') return unit;
    return unit === undefined ? named : { ...named, unit };
  }

  /** Undefined: no guest is meant. */
  private guestFor(step: Step, v: Values): string | undefined | Unaddressed {
    const given = text(v['guest']);
    if (given !== undefined && !this.guests.includes(given))
      return { field: 'guest', expected: 'the name of a guest', known: this.guests };
    if (step.do.startsWith('memory.') && v['space'] !== 'guest')
      return given === undefined ? undefined : { field: 'guest', expected: 'no guest unless the space is guest' };
    if (step.do.startsWith('register.') && v['iommu'] !== 'virtual')
      return given === undefined ? undefined : { field: 'guest', expected: 'no guest unless the iommu is virtual' };
    const device = text(v['device']);
    const owner = device === undefined ? undefined : this.deviceGuests.get(device);
    // Any process may open the file of any device.
    if (owner !== undefined && given !== undefined && given !== owner && step.do !== 'fd.open')
      return { field: 'guest', expected: `${JSON.stringify(owner)}, the guest of ${device}`, known: undefined };
    const sharer = text(v['cdTable']);
    const other = sharer === undefined ? undefined : this.deviceGuests.get(sharer);
    if (other !== undefined && owner !== undefined && other !== owner)
      return { field: 'cdTable', expected: `a device of ${owner}, the guest of ${device}`, found: `one of ${other}` };
    const known = given ?? owner;
    if (known !== undefined) return known;
    if (!this.several) return this.guests[0];
    const plain = this.byUnit(v) ?? this.byDomain(step, v);
    if (plain !== undefined) return plain;
    return { field: 'guest', expected: `the name of a guest, since there are several: ${this.guests.join(', ')}` };
  }

  private byUnit(v: Values): string | undefined {
    const owners = this.virtualUnits.filter((u) => u.name === v['unit']);
    return owners.length === 1 ? owners[0]!.guest : undefined;
  }

  private byDomain(step: Step, v: Values): string | undefined {
    const domain = text(v['process']) ?? text(v['domain'] ?? conversions[step.do]!['domain']?.default);
    const owners = domain === undefined ? undefined : this.domains.get(domain);
    return owners?.size === 1 ? [...owners][0] : undefined;
  }

  /** Undefined: there is only one. */
  private unitFor(v: Values, guest: string): string | undefined | Unaddressed {
    const given = text(v['unit']);
    const physical = v['iommu'] !== undefined || v['reg'] !== undefined ? v['iommu'] !== 'virtual' : false;
    const names = physical ? this.iommus : this.virtualUnits.filter((u) => u.guest === guest).map((u) => u.name);
    if (given === undefined) {
      if (names.length === 1) return undefined;
      const what = physical ? 'a unit' : `a virtual unit of ${guest}`;
      return { field: 'unit', expected: `the name of ${what}, since there are several: ${names.join(', ')}` };
    }
    if (!names.includes(given))
      return { field: 'unit', expected: physical ? 'the name of a unit' : `a virtual unit of ${guest}`, known: names };
    return names.length === 1 ? undefined : given;
  }
}
