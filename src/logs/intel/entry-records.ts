/** Entries, descriptors and records of a dump as log records: every field, what is illegal, and one sentence. */

import { fieldOf, getField, hexPlain, type Layout } from '../../engine/bits/index.ts';
import {
  contextLayout,
  contextLegacyLayout,
  decodeFault,
  decodePageRequest,
  deviceText,
  faultLayout,
  faultName,
  irteLayoutOf,
  pageRequestText,
  pasidDirLayout,
  pasidLayout,
  prqLayout,
  rootLayout,
  rootLegacyLayout,
  secondStageEntryLayout,
  vtdLevelShift,
  x86EntryLayout,
} from '../../engine/vtd/layout/index.ts';
import type { VtdHint } from '../hex-line.ts';
import type { Draft } from '../record.ts';
import { word64 } from '../words.ts';
import {
  descriptorCommand,
  descriptorFacts,
  descriptorFaults,
  descriptorMeaning,
  descriptorRaw,
} from './descriptor.ts';
import { contextText, fieldsOf, pasidEntryFacts, pasidEntryFaults, pasidEntryText, reservedText } from './entries.ts';
import { explainFault, faultPlace, stepOf } from './fault.ts';
import { type FoundTable, formOf, outputOf, signed } from './walk.ts';

type Address = bigint | number | null;

const head = (type: string, line: number, at: Address): Pick<Draft, 'type' | 'vendor' | 'arch' | 'line'> => ({
  type,
  vendor: 'intel',
  arch: 'vtd',
  line,
  ...(at === null ? {} : { address: hexPlain(at) }),
});

const legality = (illegal: readonly string[]): Record<string, unknown> =>
  illegal.length > 0 ? { legal: false, illegal } : { legal: true };

const body = (layout: Layout, words: readonly bigint[]): Record<string, unknown> => ({
  raw: words.map(word64),
  fields: fieldsOf(layout, words),
  layout: layout.id,
});

const ofDevice = (rid: number | null): Record<string, unknown> => (rid === null ? {} : { device: deviceText(rid) });
const sidOf = (rid: number | null): { sid?: string } => (rid === null ? {} : { sid: hexPlain(rid) });

export function descriptorRecord(words: readonly bigint[], line: number, at: Address = null): Draft {
  const illegal = descriptorFaults(words);
  return {
    ...head('vtd_descriptor', line, at),
    command: descriptorCommand(words),
    ...descriptorFacts(words),
    ...legality(illegal),
    ...descriptorRaw(words),
    explain: `A descriptor that ${descriptorMeaning(words)}${illegal.length > 0 ? `; illegal: ${illegal.join('; ')}` : ''}.`,
    where: { at: 'hw.iq' },
  };
}

function faultRecord(words: readonly bigint[], line: number, at: Address): Draft {
  const d = decodeFault(words);
  const code = Number(d.FR);
  const rid = Number(d.SID);
  const facts = {
    access: d.T1 === 1n ? ('read' as const) : ('write' as const),
    device: deviceText(rid),
    pasid: d.PP === 1n ? (d.PV as bigint) : null,
    address: d.FI ?? null,
    reason: code,
    ...(d.Index === undefined ? {} : { index: d.Index }),
  };
  return {
    ...head('vtd_fault_record', line, at),
    valid: d.F === 1n,
    reason: hexPlain(code),
    condition: faultName(code),
    ...(stepOf(code) ? { step: stepOf(code) } : {}),
    access: facts.access,
    device: facts.device,
    pasid: facts.pasid === null ? null : hexPlain(facts.pasid),
    ...(d.FI === undefined ? {} : { addr: hexPlain(d.FI) }),
    ...(d.Index === undefined ? {} : { index: hexPlain(d.Index) }),
    ...body(faultLayout(words), words),
    explain:
      d.F === 1n
        ? explainFault(facts)
        : `A fault record that is not valid (F is 0). It would say: ${explainFault(facts)}`,
    where: faultPlace(code, hexPlain(rid)),
  };
}

function pageRequestRecord(words: readonly bigint[], line: number, at: Address): Draft {
  const d = decodePageRequest(words);
  const rid = Number(d.RID);
  return {
    ...head('vtd_page_request', line, at),
    device: deviceText(rid),
    pasid: d.PP === 1n ? hexPlain(d.PASID as bigint) : null,
    addr: hexPlain(d.ADDR as bigint),
    read: d.RD === 1n,
    write: d.WR === 1n,
    last: d.LPIG === 1n,
    group: Number(d.PRGI),
    ...body(prqLayout, words),
    explain: `A ${pageRequestText(words)}${d.LPIG === 1n ? ': an answer to the group is due' : ''}.`,
    where: { at: 'hw.prq', sid: hexPlain(rid) },
  };
}

function interruptRecord(words: readonly bigint[], line: number, at: Address): Draft {
  const layout = irteLayoutOf(words);
  const f = fieldsOf(layout, words);
  return {
    ...head('vtd_irte', line, at),
    ...body(layout, words),
    explain:
      f.P === 0
        ? 'An interrupt remapping entry that is not present: the interrupt is blocked.'
        : f.IM === 1
          ? `An interrupt remapping entry that posts vector ${f.V} to a virtual CPU.`
          : `An interrupt remapping entry: vector ${f.V} for APIC ${f.DST}, from ${f.SVT === 0 ? 'any requester' : deviceText(Number(f.SID))}.`,
    where: { at: 'hw.unit' },
  };
}

export function pasidRecord(
  words: readonly bigint[],
  line: number,
  more: { at?: Address; rid?: number | null; pasid?: number | null; incomplete?: string },
): Draft {
  const { rid = null, pasid = null } = more;
  const illegal = pasidEntryFaults(words);
  const whose = pasid === null ? '' : ` of PASID ${hexPlain(pasid)}`;
  return {
    ...head('vtd_pasid_entry', line, more.at ?? null),
    ...ofDevice(rid),
    ...(pasid === null ? {} : { pasid: hexPlain(pasid) }),
    ...legality(illegal),
    ...(illegal.length > 0 ? { event: 'SPT.4' } : {}),
    ...(more.incomplete ? { incomplete: more.incomplete } : {}),
    ...pasidEntryFacts(words),
    ...body(pasidLayout, words),
    explain:
      illegal.length > 0
        ? `An illegal PASID entry${whose}: ${illegal.join('; ')}; every request is blocked.`
        : `The PASID entry${whose}: ${pasidEntryText(words)}.`,
    where: { at: 'hw.pasid', ...sidOf(rid) },
  };
}

function contextRecord(words: readonly bigint[], line: number, at: Address, rid: number | null): Draft {
  const scalable = words.length === 4;
  const layout = scalable ? contextLayout : contextLegacyLayout;
  const present = (words[0] ?? 0n) & 1n;
  const illegal = present ? reservedText(layout, words) : [];
  return {
    ...head('vtd_context_entry', line, at),
    mode: scalable ? 'scalable' : 'legacy',
    ...ofDevice(rid),
    ...legality(illegal),
    ...(illegal.length > 0 ? { event: scalable ? 'SCT.3' : 'LCT.3' } : {}),
    ...body(layout, words),
    explain:
      illegal.length > 0
        ? `An illegal context entry: ${illegal.join('; ')}; every request of the device is blocked.`
        : `A context entry${rid === null ? '' : ` of device ${deviceText(rid)}`}: ${contextText(words, scalable)}.`,
    where: { at: 'hw.root', ...sidOf(rid) },
  };
}

function rootRecord(words: readonly bigint[], line: number, at: Address, bus: number | null, scalable: boolean): Draft {
  const layout = scalable ? rootLayout : rootLegacyLayout;
  const illegal = ((words[0] ?? 0n) | (words[1] ?? 0n)) & 1n ? reservedText(layout, words) : [];
  const f = fieldsOf(layout, words);
  const half = (p: unknown, table: unknown, what: string): string =>
    `${what}: ${p === 1 ? `context table at ${table}` : 'none'}`;
  const text = scalable
    ? `${half(f.LP, f.LCTP, 'devices 00 to 0f')}; ${half(f.UP, f.UCTP, 'devices 10 to 1f')}`
    : f.P === 1
      ? `context table at ${f.CTP}`
      : 'not present';
  return {
    ...head('vtd_root_entry', line, at),
    mode: scalable ? 'scalable' : 'legacy',
    ...(bus === null ? {} : { bus: hexPlain(bus) }),
    ...legality(illegal),
    ...body(layout, words),
    explain: `A root entry${bus === null ? '' : ` of bus ${bus.toString(16).padStart(2, '0')}`}: ${text}${illegal.length > 0 ? `; illegal: ${illegal.join('; ')}` : ''}.`,
    where: { at: 'hw.root' },
  };
}

function directoryRecord(word: bigint, line: number, at: Address, first: number | null): Draft {
  const f = fieldsOf(pasidDirLayout, [word]);
  const range = first === null ? '' : ` of PASIDs ${hexPlain(first)} to ${hexPlain(first + 63)}`;
  return {
    ...head('vtd_pasid_directory_entry', line, at),
    ...(first === null ? {} : { first_pasid: hexPlain(first) }),
    ...legality(f.P === 1 ? reservedText(pasidDirLayout, [word]) : []),
    ...body(pasidDirLayout, [word]),
    explain: `A PASID directory entry${range}: ${f.P === 1 ? `their entries lie at ${f.SMPTBLPTR}` : 'not present'}.`,
    where: { at: 'hw.pasid' },
  };
}

/** One entry of a kind. */
export function entryRecord(
  kind: VtdHint,
  words: readonly bigint[],
  line: number,
  more: { at?: Address; rid?: number | null; index?: number | null; scalable?: boolean },
): Draft | null {
  const at = more.at ?? null;
  const rid = more.rid ?? null;
  const index = more.index ?? null;
  switch (kind) {
    case 'vtd descriptor':
      return descriptorRecord(words, line, at);
    case 'vtd fault':
      return faultRecord(words, line, at);
    case 'vtd page request':
      return pageRequestRecord(words, line, at);
    case 'vtd interrupt':
      return interruptRecord(words, line, at);
    case 'vtd pasid':
      return pasidRecord(words, line, { at, rid, pasid: index });
    case 'vtd context':
      return contextRecord(words, line, at, rid);
    case 'vtd root':
      return rootRecord(words, line, at, index, more.scalable ?? ((words[1] ?? 0n) !== 0n || true));
    case 'vtd directory':
      return directoryRecord(words[0] ?? 0n, line, at, index);
    default:
      return null;
  }
}

/** `read and write, supervisor only` of an entry that maps a page. */
function access(stage: 1 | 2, word: bigint): string {
  const bit = (n: bigint): boolean => ((word >> n) & 1n) === 1n;
  if (stage === 1) return `${bit(1n) ? 'read and write' : 'read'}${bit(2n) ? '' : ', supervisor only'}`;
  return bit(0n) && bit(1n) ? 'read and write' : bit(0n) ? 'read' : 'write';
}

/** Part of a page table that a walk reaches. */
export function tableRecord(
  found: FoundTable,
  words: readonly bigint[],
  first: number,
  line: number,
  at: Address,
): Draft {
  const { tree, level } = found;
  const shift = BigInt(vtdLevelShift(level));
  const entries = words.flatMap((w, i) => {
    if (w === 0n) return [];
    const form = formOf(tree.stage, level, w);
    return {
      index: first + i,
      input: hexPlain(signed(tree, found.input + (BigInt(first + i) << shift))),
      raw: word64(w),
      form,
      ...(form === 'absent' ? {} : { out: hexPlain(outputOf(level, form, w)) }),
      ...(form === 'page' ? { access: access(tree.stage, w) } : {}),
    };
  });
  const count = (f: string): number => entries.filter((e) => e.form === f).length;
  const parts = (['table', 'page'] as const).flatMap((f) =>
    count(f) > 0 ? [`${count(f)} ${f}${count(f) === 1 ? '' : 's'}`] : [],
  );
  const stage = tree.stage === 1 ? 'first' : 'second';
  return {
    ...head('vtd_table', line, at),
    stage: tree.stage,
    level,
    words: words.length,
    valid: entries.filter((e) => e.form !== 'absent').length,
    entries,
    explain: `${words.length} ${words.length === 1 ? 'entry' : 'entries'} of a ${stage}-stage level-${level} table: ${parts.join(', ') || 'nothing is mapped'}.`,
    where: { at: tree.stage === 1 ? 'hw.fswalk' : 'hw.sswalk', stage: tree.stage },
  };
}

/** An entry that nothing in the text points to: its level is not known. */
export function pagingRecord(stage: 1 | 2, word: bigint, line: number, at: Address): Draft {
  const layout = stage === 1 ? x86EntryLayout(1, word) : secondStageEntryLayout(1, word);
  const out = hexPlain(
    getField(fieldOf(layout, layout.fields.some((f) => f.name === 'ADDR') ? 'ADDR' : layout.fields[0]!.name), [word]),
  );
  const name = stage === 1 ? 'first' : 'second';
  return {
    ...head('vtd_paging_entry', line, at),
    stage,
    ...body(layout, [word]),
    explain: layout.id.endsWith('.absent')
      ? `A ${name}-stage entry that maps nothing.`
      : `A ${name}-stage entry with address ${out} (${access(stage, word)}); its level is not in the text.`,
    where: { at: stage === 1 ? 'hw.fswalk' : 'hw.sswalk', stage },
  };
}
