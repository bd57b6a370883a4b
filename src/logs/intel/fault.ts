/** What each fault reason means, and where on the way of a request it arises. */

import { faultName } from '../../engine/vtd/layout/index.ts';
import type { Where } from '../record.ts';

/** Step of the translation: the table that is read, or the check. */
interface Step {
  readonly step: string;
  readonly at: string;
  readonly stage?: 1 | 2;
}

const root: Step = { step: 'root entry', at: 'hw.root' };
const context: Step = { step: 'context entry', at: 'hw.root' };
const directory: Step = { step: 'PASID directory entry', at: 'hw.pasid' };
const pasidEntry: Step = { step: 'PASID entry', at: 'hw.pasid' };
const first: Step = { step: 'first stage', at: 'hw.fswalk', stage: 1 };
const second: Step = { step: 'second stage', at: 'hw.sswalk', stage: 2 };
const result: Step = { step: 'final address', at: 'hw.unit' };
const interrupt: Step = { step: 'interrupt remapping', at: 'hw.unit' };

const NOT_SET_UP = 'usually the device is not set up, or software cleared the entry while it was still sending';
const UNMAPPED =
  'usually the driver unmapped the buffer too early, never mapped it, or the device used a wrong address';
const CORRUPT = 'usually a corrupt entry or one that was written for other hardware';
const BROKEN = 'usually a wrong pointer or freed table memory';

/** Step, what went wrong, what that usually means. */
const reasons: Readonly<Record<number, readonly [Step, string, string?]>> = {
  1: [root, 'the root entry of its bus is not present', NOT_SET_UP],
  2: [context, 'its context entry is not present', NOT_SET_UP],
  3: [context, 'its context entry is illegal', CORRUPT],
  4: [second, 'the address is wider than the unit can translate', 'usually a device or driver bug'],
  5: [second, 'nothing is mapped there, or the mapping does not allow writing', UNMAPPED],
  6: [second, 'nothing is mapped there, or the mapping does not allow reading', UNMAPPED],
  7: [second, 'a page table could not be read', BROKEN],
  8: [root, 'the root table could not be read', BROKEN],
  9: [context, 'the context table could not be read', BROKEN],
  10: [root, 'reserved bits of the root entry are set', CORRUPT],
  11: [context, 'reserved bits of the context entry are set', CORRUPT],
  12: [second, 'reserved bits of a page table entry are set', CORRUPT],
  13: [
    context,
    'its context entry does not allow translation requests',
    'usually ATS is enabled in the device but not in its context entry',
  ],
  14: [result, 'the address lies in the interrupt range', 'usually a device that may not write there'],
  32: [interrupt, 'reserved fields of the interrupt request are set'],
  33: [interrupt, 'the index lies beyond the interrupt remapping table', 'usually a stale or wrong MSI message'],
  34: [
    interrupt,
    'the interrupt remapping entry is not present',
    'usually the interrupt was freed while the device still sent it',
  ],
  35: [interrupt, 'the interrupt remapping table could not be read', BROKEN],
  36: [interrupt, 'reserved fields of the interrupt remapping entry are set', CORRUPT],
  37: [
    interrupt,
    'an interrupt in the old format came, and those are blocked',
    'usually a device or firmware that was not told of interrupt remapping',
  ],
  38: [
    interrupt,
    'the entry belongs to another requester',
    'usually a bridge or a second function sends the interrupt under its own id',
  ],
  48: [root, 'the root table could not be read', BROKEN],
  49: [root, 'requests with a PASID come, but the unit is in legacy mode', NOT_SET_UP],
  50: [root, 'page requests come, but the unit is in legacy mode', NOT_SET_UP],
  51: [root, 'the unit blocks all requests (abort mode)'],
  56: [root, 'the root entry could not be read', BROKEN],
  57: [root, 'the half of the root entry for this device is not present', NOT_SET_UP],
  58: [root, 'reserved bits of the root entry are set', CORRUPT],
  64: [context, 'the context entry could not be read', BROKEN],
  65: [context, 'its context entry is not present', NOT_SET_UP],
  66: [context, 'reserved bits of the context entry are set', CORRUPT],
  67: [context, 'its context entry is illegal', CORRUPT],
  68: [
    context,
    'its context entry does not allow ATS (DTE is 0)',
    'usually ATS is enabled in the device but not in its context entry',
  ],
  69: [context, 'its context entry does not allow requests with a PASID (PASIDE is 0)'],
  70: [context, 'the PASID lies beyond the PASID directory'],
  71: [context, 'its context entry does not allow page requests (PRE is 0)'],
  72: [context, 'its PASID is the one that stands for requests without PASID', 'usually a device or driver bug'],
  80: [directory, 'the PASID directory entry could not be read', BROKEN],
  81: [directory, 'the PASID directory entry is not present', 'usually the PASID was never set up for this device'],
  82: [directory, 'reserved bits of the PASID directory entry are set', CORRUPT],
  88: [pasidEntry, 'the PASID entry could not be read', BROKEN],
  89: [
    pasidEntry,
    'the PASID entry is not present',
    'usually no domain is attached to this device and PASID, or it was detached while the device was still sending',
  ],
  90: [pasidEntry, 'reserved bits of the PASID entry are set', CORRUPT],
  91: [pasidEntry, 'the PASID entry is illegal or asks for what the unit does not support', CORRUPT],
  92: [pasidEntry, 'the PASID entry does not allow execute requests (ERE is 0)'],
  93: [pasidEntry, 'the PASID entry does not allow supervisor requests (SRE is 0)'],
  112: [first, 'a first-stage table could not be read', BROKEN],
  113: [first, 'no page is present there in the first-stage tables', UNMAPPED],
  114: [first, 'reserved bits of a first-stage entry are set', CORRUPT],
  115: [first, 'the top first-stage table could not be read', BROKEN],
  116: [first, 'a first-stage table lies at an address that the second stage cannot translate', CORRUPT],
  117: [
    second,
    'the second stage does not let the top first-stage table be read',
    'usually guest memory that the host never mapped or has already unmapped',
  ],
  118: [
    second,
    'the second stage does not let a first-stage table be read',
    'usually guest memory that the host never mapped or has already unmapped',
  ],
  119: [
    second,
    'the second stage does not let the accessed or dirty bit of a first-stage entry be written',
    'usually guest page tables in read-only memory',
  ],
  120: [second, 'a second-stage table could not be read', BROKEN],
  121: [
    second,
    'the second stage maps nothing there, or does not allow the access',
    'usually guest memory that the host never mapped or has already unmapped',
  ],
  122: [second, 'reserved bits of a second-stage entry are set', CORRUPT],
  123: [second, 'the second-stage table pointer of the PASID entry is bad', CORRUPT],
  124: [second, 'accessed and dirty bits cannot be set, since table accesses do not snoop'],
  125: [second, 'an atomic update of a second-stage entry failed'],
  128: [first, 'the address is not canonical', 'usually a device or driver bug'],
  129: [first, 'the page is for supervisors only, and the request has user privilege'],
  130: [first, 'the page may not be executed'],
  131: [first, 'the address is wider than the unit can translate', 'usually a device or driver bug'],
  132: [second, 'the address is wider than the second stage can translate', 'usually a device or driver bug'],
  133: [first, 'the first-stage tables do not allow writing there', 'usually a buffer that was mapped read-only'],
  134: [first, 'the page tables do not allow reading there', UNMAPPED],
  135: [result, 'the address lies in the interrupt range', 'usually a device that may not write there'],
  137: [context, 'its PASID is larger than the unit knows', 'usually a device or driver bug'],
  144: [first, 'accessed and dirty bits cannot be set, since table accesses do not snoop'],
  145: [first, 'an atomic update of a first-stage entry failed'],
};

/** Facts of a fault, whether from a printed line or from a record; what is unknown is undefined. */
export interface FaultFacts {
  readonly access?: 'read' | 'write' | undefined;
  readonly device?: string | null | undefined;
  readonly pasid?: bigint | null | undefined;
  readonly address?: bigint | null | undefined;
  readonly reason?: number | undefined;
  readonly index?: bigint | undefined;
}

/** Step of the translation where a reason arises, or undefined for one that the specification does not name. */
export const stepOf = (reason: number): string | undefined => reasons[reason]?.[0].step;

/** Scene object where a reason arises. `sid` is the requester id, where the text has one. */
export function faultPlace(reason: number | undefined, sid: string | undefined): Where {
  const known = reason === undefined ? undefined : reasons[reason]?.[0];
  return {
    at: known?.at ?? 'hw.frcd',
    ...(known?.stage ? { stage: known.stage } : {}),
    ...(sid === undefined ? {} : { sid }),
  };
}

const hex = (v: bigint): string => `0x${v.toString(16)}`;

function who(f: FaultFacts): string {
  const device = f.device ? `device ${f.device}` : 'a device (not named in the text)';
  return f.pasid !== undefined && f.pasid !== null ? `${device} with PASID ${hex(f.pasid)}` : device;
}

/** One sentence: what was blocked, at which step, why, and what that usually means. */
export function explainFault(f: FaultFacts): string {
  const interruptFault = f.index !== undefined;
  const where =
    f.address === undefined || f.address === null
      ? ''
      : `${f.access === 'write' ? ' to' : f.access ? ' of' : ' at'} ${hex(f.address)}`;
  const subject = interruptFault
    ? `An interrupt request of ${who(f)} for index ${hex(f.index as bigint)}`
    : `${f.access ? `A ${f.access}` : 'An access'}${where} by ${who(f)}`;
  if (f.reason === undefined) return `${subject} was blocked; the text does not give the reason.`;
  const known = reasons[f.reason];
  const name = faultName(f.reason);
  const label = name.startsWith('FR_')
    ? `reason 0x${f.reason.toString(16)}`
    : `${name}, reason 0x${f.reason.toString(16)}`;
  if (!known) return `${subject} was blocked for a reason that the specification does not name (${label}).`;
  const [{ step }, what, usual] = known;
  const place = interruptFault ? '' : ` at the ${step}`;
  return `${subject} was blocked${place} (${label}): ${what}${usual ? `; ${usual}` : ''}.`;
}
