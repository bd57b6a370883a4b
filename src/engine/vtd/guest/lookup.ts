import { isPaging, outcome, refused } from '../../guest/index.ts';
import type { Op, OpResult } from '../../machine/index.ts';
import { probeDevice } from '../linux/index.ts';
import { newDomain } from './domain.ts';
import type { DmaDomain, Endpoint, Guest, Unit } from './state.ts';

/** How operations find what a document names, and what they answer. */

/** Lines of the kernel log that say that something went wrong below an operation. */
const ERROR = /detected Invalidation|No free domain ids|malfunctioning/;

/** An operation starts: what the kernel logs from now on, and what never completes, is its own. */
export function begin(g: Guest): void {
  g.kernel.state.log = [];
  for (const [i, u] of g.kernel.state.units.entries()) {
    if (u.stuck && !g.state.hung.includes(i)) g.state.hung.push(i);
    u.stuck = false;
  }
}

/** What went wrong since the operation began: the log's lines, and queues that stand still. */
function errorsOf(g: Guest): string[] {
  const lines = g.kernel.state.log.filter((line) => ERROR.test(line)).map((line) => line.replace(/^DMAR: /, ''));
  const stuck = g.units.filter((u) => g.kernel.state.units[u.index]?.stuck);
  return [
    ...new Set(lines),
    ...stuck.map((u) => `${u.name || 'the queue'}: the submission never completes, the CPU waits for ever`),
  ];
}

/** It has done what it was asked, unless the queue had errors. */
export const result = (g: Guest, text: string): OpResult => outcome(errorsOf(g), text);

/** A device that the driver has probed. */
export const find = (g: Guest, device: string): Endpoint | undefined =>
  g.state.endpoints.find((e) => e.name === device);

/** The same; a device that was plugged in after boot is probed here. @returns why there is none */
export function* endpoint(g: Guest, device: string): Op<Endpoint | string> {
  if (!g.state.booted) return 'the guest has not booted';
  const u = g.units.find((x) => x.devices.some((d) => d.name === device));
  if (!u) return `no device is named ${device}`;
  if (!g.present(device)) return `${device} is not plugged into the guest`;
  if (!g.state.working.includes(u.index)) return `the IOMMU of ${device} is not in use`;
  return find(g, device) ?? (yield* probe(g, u, device));
}

/** intel_iommu_probe_device: context entry and PASID directory. @returns why it fails */
export function* probe(g: Guest, u: Unit, device: string): Op<Endpoint | string> {
  let errno: string;
  try {
    errno = yield* probeDevice(g.kernel, device);
  } catch (e) {
    // Without a page for its tables the device is as unknown as before.
    g.kernel.state.devices = g.kernel.state.devices.filter((d) => d.name !== device);
    throw e;
  }
  if (errno !== '0') return `${device} cannot be probed: ${errno}`;
  const e: Endpoint = { name: device, unit: u.index, domain: '', pasids: [], finalized: false };
  g.state.endpoints.push(e);
  return e;
}

/** The DMA domain of that name, made for a device's unit when there is none; or the refusal. */
export function domainFor(g: Guest, name: string, e: Endpoint): DmaDomain | OpResult {
  if (g.state.processes.some((p) => p.name === name))
    return refused(`${name} is a process: bind ${e.name} to it`, 'EINVAL');
  return g.state.domains.find((d) => d.name === name) ?? newDomain(g, name, e.unit);
}

/** The DMA domain of that name for a mapping, made for the first unit when there is none. @returns why there is none */
export function domainNamed(g: Guest, name: string): DmaDomain | string {
  if (!isPaging(name)) return `${name} has no page table`;
  const known = g.state.domains.find((d) => d.name === name);
  if (known) return known;
  const unit = g.state.working[0];
  return unit === undefined ? 'the guest has no IOMMU' : newDomain(g, name, unit);
}
