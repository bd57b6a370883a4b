import { outcome, refused } from '../../guest/index.ts';
import type { Op, OpResult } from '../../machine/index.ts';
import { newDomain, suits } from './domain.ts';
import type { Domain, Kernel, Master, Unit } from './state.ts';
import { addMaster } from './stream-table.ts';

/** How operations find what a document names, and what they answer. */

export interface Found {
  readonly u: Unit;
  readonly m: Master;
}

/** An operation starts: errors of the queue from now on are its own. */
export function begin(k: Kernel): void {
  k.state.errors = [];
}

/** It has done what it was asked, unless its commands had errors. */
export const result = (k: Kernel, text: string): OpResult => outcome(k.state.errors, text);

/** A device that the driver has probed. */
export function find(k: Kernel, device: string): Found | undefined {
  for (const u of k.units) {
    const m = u.state.masters.find((x) => x.name === device);
    if (m) return { u, m };
  }
  return undefined;
}

/** The same; a device that was plugged in after boot is probed here. @returns why there is none */
export function* master(k: Kernel, device: string): Op<Found | string> {
  if (!k.state.booted) return 'the guest has not booted';
  const u = k.units.find((x) => x.devices.some((d) => d.name === device));
  const d = u?.devices.find((x) => x.name === device);
  if (!u || !d) return `no device is named ${device}`;
  if (!k.present(device)) return `${device} is not plugged into the guest`;
  if (!u.state.strtab) return `the SMMU of ${device} is not in use`;
  return find(k, device) ?? { u, m: yield* addMaster(u, d) };
}

/** The DMA domain of that name for a device, made when there is none; or the refusal. */
export function domainFor(k: Kernel, name: string, { u, m }: Found): Domain | OpResult {
  if (k.state.processes.some((p) => p.name === name))
    return refused(`${name} is a process: bind ${m.name} to it`, 'EINVAL');
  const known = k.state.domains.find((d) => d.name === name);
  if (known && !suits(known, u)) return refused(`${name} belongs to another SMMU than ${m.name}`, 'EINVAL');
  const domain = known ?? newDomain(k, name, u);
  return typeof domain === 'string' ? refused(domain, 'EBUSY') : domain;
}
