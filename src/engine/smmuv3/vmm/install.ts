import { hexPlain } from '../../bits/index.ts';
import type { Op } from '../../machine/index.ts';
import { ioctl, report } from '../../vmm/index.ts';
import { steLayout } from '../layout/index.ts';
import { allocNested, attach, freeNested, gbpaHwpt, makeVdevice } from './devices.ts';
import { findSte } from './find-ste.ts';
import { CR0 } from './registers.ts';
import type { UnitContext, VmmDevice } from './state.ts';

/**
 * What CFGI_STE means for a device (smmuv3_accel_install_ste): its vDEVICE at first use, then the nested HWPT that the
 * guest's STE asks for. An STE that cannot be found installs nothing.
 * @returns false when the guest must see CERROR_ILL
 */
export function* installSte(u: UnitContext, d: VmmDevice): Op<boolean> {
  const s = u.state;
  if (!s.viommu) return true;
  const failure = yield* makeVdevice(u, d);
  if (failure) return refuse(u, failure);
  const r = s.registers;
  const found = findSte(u, d.vsid);
  if (!found) return true;

  const enabled = ((r['CR0'] ?? 0n) & CR0.smmuen) !== 0n;
  const action = enabled ? u.vmm.rules.steAction(found) : 'gbpa';
  let nested = 0;
  let target: number;
  switch (action) {
    case 'gbpa':
      target = gbpaHwpt(u);
      break;
    case 'abort':
      target = s.abortHwpt;
      break;
    case 'bypass':
      target = s.bypassHwpt;
      break;
    case 'invalid':
      return refuse(u, `Invalid STE config for sid ${hexPlain(d.vsid)}`);
    case 'translate': {
      const words = u.vmm.rules.nestedWords(found);
      const made = yield* allocNested(u, d, words, true);
      if (made.errno !== '0') return refuse(u, `IOMMU_HWPT_ALLOC: ${made.errno}`);
      nested = made.id;
      target = nested;
      showRewrite(u, d, found, words, nested);
      break;
    }
  }
  const destroyFirst = u.vmm.rules.replaceOrder() === 'destroy-first';
  if (destroyFirst) yield* freeNested(u, d);
  const errno = yield* attach(u, d, target);
  if (errno !== '0') {
    // The HWPT that nobody uses goes again; the device keeps the one it had.
    if (nested) yield* ioctl(u, 'IOMMU_DESTROY', { id: nested });
    return refuse(u, `VFIO_DEVICE_ATTACH_IOMMUFD_PT: ${errno}`);
  }
  if (!destroyFirst) yield* freeNested(u, d);
  d.s1Hwpt = nested;
  return true;
}

/** CFGI_STE_RANGE and CFGI_ALL: every device whose vSID lies inside; all are tried although one fails. */
export function* installRange(u: UnitContext, start: number, end: number): Op<boolean> {
  if (!u.state.viommu || !u.vmm.rules.rangeInstalls()) return true;
  let ok = true;
  for (const d of u.state.devices) {
    if (d.vsid < start || d.vsid > end) continue;
    if (yield* installSte(u, d)) continue;
    report(u, `Device ${hexPlain(d.vsid)}: Failed to install STE`);
    ok = false;
  }
  return ok;
}

function refuse(u: UnitContext, why: string): boolean {
  report(u, why);
  return false;
}

/** The guest's STE on its way down: what the VMM leaves out of it. */
function showRewrite(
  u: UnitContext,
  d: VmmDevice,
  ste: readonly bigint[],
  words: readonly bigint[],
  hwpt: number,
): void {
  const changes = [0, 1].flatMap((i) =>
    ste[i] === words[i] ? [] : [{ field: `DW${i}`, from: hexPlain(ste[i]!), to: hexPlain(words[i]!) }],
  );
  u.vmm.trace.listener?.({
    kind: 'record.rewrite',
    actor: 'vmm',
    at: u.ids.vsmmu,
    to: u.vmm.ids.kernelObject(hwpt),
    layout: steLayout.id,
    words: [...words, ...new Array<bigint>(6).fill(0n)],
    changes,
    text: `guest STE ${hexPlain(d.vsid)} becomes nested HWPT ${hwpt}`,
  });
}
