/** Errors that QEMU's VT-d model prints: `qemu-system-x86_64: vtd_iommu_translate: detected translation failure (dev=.., iova=..)`. */

import { descriptorFacts } from '../intel/descriptor.ts';
import { joinLines, type Parsed } from '../join.ts';
import type { Lines } from '../lines.ts';
import type { Draft } from '../record.ts';
import { deviceName } from './vtd.ts';

/** Messages without a function's name. */
const plain: readonly (readonly [string, string, string])[] = [
  [
    'New fault is not recorded due to compression of faults',
    'fault_compressed',
    'QEMU did not record this fault: one of the same device is still waiting to be read by the guest',
  ],
  [
    'New fault is not recorded due to Primary Fault Overflow',
    'fault_lost',
    'QEMU did not record this fault: the guest has not cleared the overflow (PFO) of an earlier one',
  ],
  [
    'Next Fault Recording Reg is used, new fault is not recorded, set PFO field',
    'fault_lost',
    'QEMU did not record this fault: its only fault record is still in use, so that FSTS.PFO is set',
  ],
  [
    'There are pending faults already, fault event is not generated',
    'fault_event_pending',
    'QEMU recorded the fault without an interrupt: the guest has an earlier one still to handle',
  ],
  [
    'Interrupt Mask set, irq is not generated',
    'interrupt_masked',
    'QEMU raised no interrupt for a fault: the guest has masked it (FECTL.IM)',
  ],
];

/** Fewer characters of a message that was wrapped say nothing. */
const LEAST = 8;

interface Message extends Parsed {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly explain: string;
}

const flat = (s: string): string => s.replace(/\s+/g, ' ').trim();

function plainMessage(text: string): Message | null {
  const all = flat(text);
  for (const [printed, event, explain] of plain) {
    if (all.startsWith(printed)) return { event, fields: {}, explain: `${explain}.`, complete: true, score: 2 };
    if (all.length >= LEAST && printed.startsWith(all))
      return { event, fields: { cut: true }, explain: `${explain}.`, complete: false, score: 1 };
  }
  return null;
}

/** Texts in which QEMU's own spelling, or its code's names, do not say it well. */
const reworded: readonly (readonly [RegExp, string])[] = [
  [/^sp?lp?te reserve non-zero$/, 'slpte reserved bits non-zero'],
  [/^(\w+) reserve non-zero$/, '$1 reserved bits non-zero'],
];

const meanings: readonly (readonly [RegExp, string])[] = [
  [/permission error/, 'an entry of the guest’s tables maps nothing there, or does not allow the access'],
  [/reserved bits non-zero/, 'reserved bits of an entry of the guest’s tables are set'],
  [/IOVA overflow/, 'the address is wider than the guest’s tables can translate'],
  [/non.canonical/i, 'the address is not canonical'],
  [/translation failure/, 'QEMU could not translate the address of a device'],
  [/read error|error reading|failed to read/, 'a table of the guest could not be read'],
  [/interrupt range/, 'the tables of the guest map into the interrupt range'],
  [/inv desc|wait desc/, 'QEMU refuses a descriptor of the guest, and the queue stops with IQE'],
];

const hex = (s: string): string => `0x${BigInt(s).toString(16)}`;

function pairs(text: string): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const m of text.matchAll(
    /\b([a-z][a-z_]{0,15})=\s*(0x[0-9a-f]{1,16}|[0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2}|[0-9a-f]{1,16})(?![0-9a-gi-z])/gi,
  )) {
    const key = (m[1] as string).toLowerCase();
    const v = m[2] as string;
    if (key === 'level' || key === 'write') out[key] = Number(v.startsWith('0x') ? BigInt(v) : v);
    else if (v.includes(':')) out[key] = deviceName(v);
    else if (v.startsWith('0x')) out[key] = hex(v.toLowerCase());
    else out[key] = key === 'hi' || key === 'lo' ? hex(`0x${v}`) : /^\d+$/.test(v) ? Number(v) : hex(`0x${v}`);
  }
  return out;
}

function functionMessage(text: string): Message | null {
  const all = flat(text);
  const m = /^(?:(vtd_\w{2,50}): ?)?(.{3,400})$/.exec(all);
  if (!m) return null;
  const body = m[2] as string;
  const cut = m[1] === undefined;
  if (cut && !/^(?:detected )?IOVA overflow\b/.test(body)) return null;
  // The bracket of one message is missing in QEMU itself; numbers end it too.
  const what = (/^(.*?)(?:[\s,:]*\(?\b[a-z_]{1,16}=|$)/i.exec(body)?.[1] ?? body).replace(/^detected\s+/, '').trim();
  // `level=0x1slpte=0x..`: QEMU prints no blank there.
  const values = pairs(body.replace(/(0x[0-9a-f]+?)(slpte|flpte|sspte|fspte)=/gi, '$1 $2='));
  let error = what.replace(/[\s(:,]+$/, '');
  for (const [pattern, better] of reworded) error = error.replace(pattern, better);
  const meaning = meanings.find(([p]) => p.test(error))?.[1];
  const where =
    values.iova === undefined
      ? ''
      : ` (${values.dev === undefined ? '' : `device ${values.dev}, `}address ${values.iova})`;
  const words = typeof values.lo === 'string' ? [BigInt(values.lo), BigInt(String(values.hi ?? '0x0'))] : null;
  return {
    event: m[1] ?? 'vtd_iova_to_slpte',
    fields: { error, ...values, ...(words ? descriptorFacts(words) : {}), ...(cut ? { cut: true } : {}) },
    explain: `${meaning ? `In QEMU ${meaning}` : `QEMU says of its VT-d model: ${error}`}${where}.`,
    // Numbers in brackets end it; what never does is taken as far as it goes.
    complete: Object.keys(values).length > 0 && /\)\s*$/.test(all),
    score: 1 + Object.keys(values).length,
  };
}

const QEMU = /(?:^|\s)qemu(?:-system[\w-]*|-kvm)?:\s+/;
const START =
  /^(?:vtd_\w{2,50}: |vtd_\w{2,50}:$|New fault is not recorded|Next Fault Recording Reg|There are pending faults|Interrupt Mask set, irq)/;

/** Reads a message at the current line, wrapped or not. */
export function vtdMessage(lines: Lines): { draft: Draft; taken: number } | null {
  const line = lines.peek(0);
  if (!line) return null;
  const head = QEMU.exec(line.text);
  const body = head ? line.text.slice(head.index + head[0].length) : line.text.trim();
  const bare = /^(?:detected )?IOVA overflow\b/.test(body);
  const begins = plain.some(([printed]) => body.length >= LEAST && printed.startsWith(body));
  if (!START.test(body) && !bare && !(head && begins)) return null;
  // `vtd_x: walk (..)` of the trace has no colon behind the name; a name alone is not a message.
  const joined = joinLines(
    lines,
    body,
    1,
    (t) => plainMessage(t) ?? functionMessage(t),
    (next) => QEMU.test(next) || START.test(next),
  );
  const p = joined.parsed;
  if (!p) return null;
  if (bare && p.fields.iova === undefined) return null;
  return {
    taken: 1 + joined.taken,
    draft: {
      type: 'qemu_message',
      vendor: 'qemu',
      arch: 'vtd',
      line: line.number,
      model: 'intel_iommu',
      event: p.event,
      ...p.fields,
      explain: p.explain,
      where: { at: p.event.startsWith('fault_') || p.event.startsWith('interrupt_') ? 'guest.frcd' : 'vmm.viommu' },
    },
  };
}
