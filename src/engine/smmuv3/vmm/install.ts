import { hexPlain } from '../../bits/index.ts';
import type { Op } from '../../machine/index.ts';
import { readSte } from '../hardware/stream-table.ts';
import { steLayout } from '../layout/index.ts';
import { allocNested, attach, freeNested, gbpaHwpt, makeVdevice } from './devices.ts';
import { CR0 } from './registers.ts';
import { ioctl, report, type VmmContext, type VmmDevice } from './state.ts';

/**
 * What CFGI_STE means for a device (smmuv3_accel_install_ste): its vDEVICE at first use, then the nested HWPT that the
 * guest's STE asks for. An STE that cannot be found installs nothing.
 * @returns false when the guest must see CERROR_ILL
 */
export function* installSte(v: VmmContext, d: VmmDevice): Op<boolean> {
  const s = v.state;
  if (!s.viommu) return true;
  const failure = yield* makeVdevice(v, d);
  if (failure) return refuse(v, failure);
  const r = s.registers;
  const found = readSte(v.memory, r['STRTAB_BASE'] ?? 0n, r['STRTAB_BASE_CFG'] ?? 0n, d.vsid);
  if ('error' in found) return true;

  const enabled = ((r['CR0'] ?? 0n) & CR0.smmuen) !== 0n;
  const action = enabled ? v.rules.steAction(found.words) : 'gbpa';
  let nested = 0;
  let target: number;
  switch (action) {
    case 'gbpa':
      target = gbpaHwpt(v);
      break;
    case 'abort':
      target = s.abortHwpt;
      break;
    case 'bypass':
      target = s.bypassHwpt;
      break;
    case 'invalid':
      return refuse(v, `Invalid STE config for sid ${hexPlain(d.vsid)}`);
    case 'translate': {
      const words = v.rules.nestedWords(found.words);
      const made = yield* allocNested(v, d, words);
      if (made.errno !== '0') return refuse(v, `IOMMU_HWPT_ALLOC: ${made.errno}`);
      nested = made.id;
      target = nested;
      showRewrite(v, d, found.words, words, nested);
      break;
    }
  }
  const errno = yield* attach(v, d, target);
  if (errno !== '0') {
    // The HWPT that nobody uses goes again; the device keeps the one it had.
    if (nested) yield* ioctl(v, 'IOMMU_DESTROY', { id: nested });
    return refuse(v, `VFIO_DEVICE_ATTACH_IOMMUFD_PT: ${errno}`);
  }
  yield* freeNested(v, d);
  d.s1Hwpt = nested;
  return true;
}

/** CFGI_STE_RANGE and CFGI_ALL: every device whose vSID lies inside; all are tried although one fails. */
export function* installRange(v: VmmContext, start: number, end: number): Op<boolean> {
  if (!v.state.viommu || !v.rules.rangeInstalls()) return true;
  let ok = true;
  for (const d of v.state.devices) {
    if (d.vsid < start || d.vsid > end) continue;
    if (yield* installSte(v, d)) continue;
    report(v, `Device ${hexPlain(d.vsid)}: Failed to install STE`);
    ok = false;
  }
  return ok;
}

function refuse(v: VmmContext, why: string): boolean {
  report(v, why);
  return false;
}

/** The guest's STE on its way down: what the VMM leaves out of it. */
function showRewrite(
  v: VmmContext,
  d: VmmDevice,
  ste: readonly bigint[],
  words: readonly bigint[],
  hwpt: number,
): void {
  const changes = [0, 1].flatMap((i) =>
    ste[i] === words[i] ? [] : [{ field: `DW${i}`, from: hexPlain(ste[i]!), to: hexPlain(words[i]!) }],
  );
  v.trace.listener?.({
    kind: 'record.rewrite',
    actor: 'vmm',
    at: 'vmm.vsmmu',
    to: `kernel.obj.${hwpt}`,
    layout: steLayout.id,
    words: [...words, ...new Array<bigint>(6).fill(0n)],
    changes,
    text: `guest STE ${hexPlain(d.vsid)} becomes nested HWPT ${hwpt}`,
  });
}
