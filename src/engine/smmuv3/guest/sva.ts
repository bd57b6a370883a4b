import { freePasid } from '../../guest/index.ts';
import type { Op } from '../../machine/index.ts';
import { removePasid, setPasid } from './pasid.ts';
import { release } from './process.ts';
import type { AddressSpace, Kernel, Master, Process, Unit } from './state.ts';

/**
 * Sharing a process's address space with devices (drivers/iommu/iommu-sva.c iommu_sva_bind_device, _unbind_device;
 * arm-smmu-v3-sva.c).
 */

/**
 * Why the driver does not offer SVA behind this vSMMU (arm_smmu_sva_supported), '' when it does: the SMMU must be able to walk
 * the CPUs' page tables and hold their ASIDs.
 */
export function svaRefusal(u: Unit): string {
  const f = u.state.features;
  const { cpu, page } = u.kernel;
  if (!f) return 'the SMMU is not probed';
  // IDR0.COHACC.
  if (((f.idr[0] ?? 0) & 0x10) === 0) return 'the SMMU does not snoop CPU caches';
  if (!f.granules.includes(Math.log2(page))) return `the SMMU has no ${page / 1024} KiB granule`;
  if (cpu && f.oas < cpu.paBits) return `the SMMU outputs ${f.oas}-bit addresses, the CPU ${cpu.paBits}`;
  if ((cpu?.asidBits ?? 16) > (f.asid16 ? 16 : 8)) return 'the SMMU has only 8-bit ASIDs';
  return '';
}

/** The lowest ASID that no domain has (arm_smmu_asid_xa, one number space for all SMMUs); 0 when there is none. */
export function freeAsid(k: Kernel, bits: number): number {
  const used = new Set([...k.state.domains, ...k.state.processes.flatMap((p) => p.spaces)].map((s) => s.asid));
  for (let asid = 1; asid < 2 ** bits; asid++) if (!used.has(asid)) return asid;
  return 0;
}

/**
 * The process gets a PASID at its first bind and keeps it; every device uses the same. A second bind of a device only counts.
 * @param wanted the PASID that a first bind shall get, 0 for the lowest free one as the kernel takes
 * @returns '0' or the kernel's error
 */
export function* bind(u: Unit, m: Master, p: Process, wanted: number): Op<string> {
  const k = u.kernel;
  if (p.pasid === 0) {
    const taken = wanted !== 0 && k.state.processes.some((x) => x.pasid === wanted);
    const pasid =
      wanted === 0
        ? freePasid(
            k.state.processes.map((x) => x.pasid),
            m.maxPasids,
          )
        : taken || wanted >= m.maxPasids
          ? 0
          : wanted;
    if (pasid === 0) return 'ENOSPC';
    p.pasid = pasid;
  } else if (p.pasid >= m.maxPasids) return 'EOVERFLOW';
  const known = m.pasids.find((a) => a.pasid === p.pasid);
  if (known) {
    if (known.kind !== 'process' || known.name !== p.name) return 'EBUSY';
    m.pasids = m.pasids.map((a) => (a === known ? { ...a, users: a.users + 1 } : a));
    return '0';
  }
  let space = p.spaces.find((s) => s.unit === u.index);
  const made = !space;
  if (!space) {
    if (svaRefusal(u) !== '') return 'EOPNOTSUPP';
    const asid = freeAsid(k, u.state.features?.asid16 ? 16 : 8);
    if (asid === 0) return 'EBUSY';
    const fresh: AddressSpace = { asid, granule: k.page, unit: u.index, invs: [] };
    p.spaces.push(fresh);
    space = fresh;
  }
  if (m.resetDepth > 0 || p.exited) {
    if (made) dropSpace(k, p, space);
    return m.resetDepth > 0 ? 'EBUSY' : 'EINVAL';
  }
  const errno = yield* setPasid(u, m, p.pasid, { kind: 'process', process: p, space });
  if (errno !== '0' && made) dropSpace(k, p, space);
  return errno;
}

/** The last unbind of a device takes the PASID from it; the last device of an SMMU takes the domain and its ASID along. */
export function* unbind(u: Unit, m: Master, p: Process): Op<boolean> {
  const known = m.pasids.find((a) => a.kind === 'process' && a.name === p.name);
  if (!known) return false;
  if (known.users > 1) {
    m.pasids = m.pasids.map((a) => (a === known ? { ...a, users: a.users - 1 } : a));
    return true;
  }
  // Between the hooks around a reset hardware has given the PASID up already.
  if (m.resetDepth > 0) m.pasids = m.pasids.filter((a) => a !== known);
  else yield* removePasid(u, m, known.pasid);
  const space = p.spaces.find((s) => s.unit === u.index);
  const others = u.state.masters.some((o) => o.pasids.some((a) => a.kind === 'process' && a.name === p.name));
  if (space && !others) dropSpace(u.kernel, p, space);
  return true;
}

function dropSpace(k: Kernel, p: Process, s: AddressSpace): void {
  p.spaces = p.spaces.filter((x) => x !== s);
  release(k, p);
}
