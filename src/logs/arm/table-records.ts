/** STEs, CDs and tables of a dump as records: every field, what is illegal, and one sentence. */

import { fieldOf, getField, hexPlain, type Layout } from '../../engine/bits/index.ts';
import {
  cdLayout,
  descriptorLayout,
  type Granule,
  l1cdLayout,
  l1stdLayout,
  priLayout,
  steLayout,
} from '../../engine/smmuv3/layout/index.ts';
import type { Draft } from '../record.ts';
import { word64 } from '../words.ts';
import type { Candidate } from './judge.ts';
import { type Breach, cdBreaches, getter, illegalAnyway, needsOf, steBreaches } from './legality.ts';
import { type FoundTable, formOf, outputOf, shiftOf } from './table-walk.ts';

/** All fields by name: addresses and ids as hexadecimal text, the rest as numbers. */
export function fieldsOf(layout: Layout, words: readonly bigint[]): Record<string, string | number> {
  return Object.fromEntries(
    layout.fields.map((f) => {
      const v = words[f.word] === 0n ? 0n : getField(f, words);
      return [f.name, f.format === 'hex' || f.format === 'addr' ? hexPlain(v) : Number(v)];
    }),
  );
}

type Head = Pick<Draft, 'type' | 'vendor' | 'arch' | 'line'>;

const head = (type: string, line: number, at: bigint | number | null): Head => ({
  type,
  vendor: 'arm',
  arch: 'smmuv3',
  line,
  ...(at === null ? {} : { address: hexPlain(at) }),
});

const text = (b: Breach): string => `${b.text} (${b.fields.join(', ')})`;

function legality(all: readonly Breach[], event: string): Record<string, unknown> {
  const illegal = illegalAnyway(all);
  const needs = needsOf(all);
  return {
    legal: illegal.length === 0,
    ...(illegal.length > 0 ? { illegal: illegal.map(text), event } : {}),
    ...(illegal.length === 0 && needs.length > 0
      ? { needs: [...new Set(needs.map((b) => `${b.need!.text}: ${b.text}`))] }
      : {}),
  };
}

const needSentence = (all: readonly Breach[]): string => {
  const needs = [...new Set(needsOf(all).map((b) => b.need!.text))];
  return needs.length > 0 ? `; legal where ${needs.join(', ')}` : '; legal on every SMMU with these stages';
};

const granuleText = ['4 KiB', '64 KiB', '16 KiB', 'reserved'] as const;
const granuleText1 = ['reserved', '16 KiB', '4 KiB', '64 KiB'] as const;

function explainSte(words: readonly bigint[], all: readonly Breach[]): string {
  const big = getter(steLayout, words);
  const get = (n: string): number => Number(big(n));
  const bad = illegalAnyway(all);
  if (bad.length > 0)
    return `An illegal stream table entry: ${bad.map((b) => b.text).join('; ')}; every transaction of the stream is aborted and C_BAD_STE is recorded.`;
  const config = get('Config');
  if (config < 4)
    return 'A stream table entry that aborts every transaction of the stream, without an event (Config 0).';
  if (config === 4)
    return 'A stream table entry that lets every transaction of the stream pass untranslated (bypass, Config 4).';
  const parts: string[] = [];
  const max = get('S1CDMax');
  const cds = max === 0 ? 'one CD' : `a table of ${2 ** max} CDs`;
  if ((config & 5) === 5)
    parts.push(`stage 1 uses ${cds} at ${config === 7 ? 'IPA' : 'physical address'} ${hexPlain(big('S1ContextPtr'))}`);
  if ((config & 6) === 6)
    parts.push(
      `stage 2 walks tables at ${hexPlain(big('S2TTB'))} (${granuleText[get('S2TG')]} granule, ${64 - get('S2T0SZ')}-bit IPA) with VMID ${get('S2VMID')}`,
    );
  else parts.push('stage 2 is bypassed');
  const ats = ['', ', ATS on', ', split-stage ATS', ''][get('EATS')] as string;
  return `A stream table entry: ${parts.join(', ')}${ats}${needSentence(all)}.`;
}

/** A whole STE. */
export function steRecord(
  words: readonly bigint[],
  line: number,
  more: { address?: bigint | number | null; sid?: number | null; padded?: number },
): Draft {
  const all = steBreaches(words);
  const sid: { sid?: string } = more.sid === undefined || more.sid === null ? {} : { sid: hexPlain(more.sid) };
  return {
    ...head('smmuv3_ste', line, more.address ?? null),
    ...sid,
    ...legality(all, 'C_BAD_STE'),
    config_name: fieldOf(steLayout, 'Config').values?.[Number((words[0]! >> 1n) & 7n)] ?? '',
    ...(more.padded ? { incomplete: `${8 - more.padded} of 8 words; the rest is taken as zero` } : {}),
    raw: words.map(word64),
    fields: fieldsOf(steLayout, words),
    layout: steLayout.id,
    explain: explainSte(words, all),
    where: { at: 'hw.strtab', ...sid },
  };
}

function explainCd(words: readonly bigint[], all: readonly Breach[]): string {
  const big = getter(cdLayout, words);
  const get = (n: string): number => Number(big(n));
  const bad = illegalAnyway(all);
  if (bad.length > 0)
    return `An illegal context descriptor: ${bad.map((b) => b.text).join('; ')}; every transaction that selects it is aborted and C_BAD_CD is recorded.`;
  const halves: string[] = [];
  if (get('EPD0') === 0)
    halves.push(
      `the lower half walks tables at ${hexPlain(big('TTB0'))} (${granuleText[get('TG0')]} granule, ${64 - get('T0SZ')} bits)`,
    );
  if (get('EPD1') === 0)
    halves.push(
      `the upper half walks tables at ${hexPlain(big('TTB1'))} (${granuleText1[get('TG1')]} granule, ${64 - get('T1SZ')} bits)`,
    );
  const what = halves.length > 0 ? halves.join(' and ') : 'both halves are off, so that every access faults';
  return `A context descriptor with ASID ${get('ASID')}: ${what}; faults ${get('S') ? 'stall' : 'end the transaction'} and are ${get('R') ? '' : 'not '}recorded${needSentence(all)}.`;
}

/** A whole CD. */
export function cdRecord(
  words: readonly bigint[],
  line: number,
  more: { address?: bigint | number | null; ssid?: number | null; padded?: number; s1stalld?: boolean },
): Draft {
  const all = cdBreaches(words, more.s1stalld ?? false);
  return {
    ...head('smmuv3_cd', line, more.address ?? null),
    ...(more.ssid === undefined || more.ssid === null ? {} : { ssid: hexPlain(more.ssid) }),
    ...legality(all, 'C_BAD_CD'),
    ...(more.padded ? { incomplete: `${8 - more.padded} of 8 words; the rest is taken as zero` } : {}),
    raw: words.map(word64),
    fields: fieldsOf(cdLayout, words),
    layout: cdLayout.id,
    explain: explainCd(words, all),
    where: { at: 'hw.config' },
  };
}

/** A level-1 descriptor of a stream table or of a CD table. */
export function l1Record(
  kind: 'l1std' | 'l1cd',
  word: bigint,
  line: number,
  at: bigint | number | null,
  index: number,
): Draft {
  const layout = kind === 'l1std' ? l1stdLayout : l1cdLayout;
  const pointer = hexPlain(getField(fieldOf(layout, 'L2Ptr'), [word]));
  const span = Number(word & 0x1fn);
  const std =
    span === 0 || span > 11
      ? `A level-1 stream table descriptor without a table (Span ${span}): its StreamIDs give C_BAD_STREAMID.`
      : `A level-1 stream table descriptor: ${2 ** (span - 1)} STEs at physical address ${pointer}.`;
  const cd =
    (word & 1n) === 1n
      ? `A level-1 context descriptor: its CDs lie at ${pointer}.`
      : 'A level-1 context descriptor without V: its SubstreamIDs give C_BAD_SUBSTREAMID.';
  return {
    ...head(`smmuv3_${kind}`, line, at),
    index,
    raw: [word64(word)],
    fields: fieldsOf(layout, [word]),
    layout: layout.id,
    explain: kind === 'l1std' ? std : cd,
    where: { at: kind === 'l1std' ? 'hw.strtab' : 'hw.config' },
  };
}

/** A record of the PRI queue. */
export function priRecord(words: readonly bigint[], line: number): Draft {
  const fields = fieldsOf(priLayout, words);
  const perms = ['Read', 'Write', 'Exec'].filter((p) => fields[`Perm${p}`] === 1).map((p) => p.toLowerCase());
  const ssid = fields.SSV === 1 ? ` with PASID ${fields.SSID}` : '';
  return {
    ...head('smmuv3_page_request', line, null),
    sid: fields.SID,
    ssid: fields.SSV === 1 ? fields.SSID : null,
    raw: words.map(word64),
    fields,
    layout: priLayout.id,
    explain: `A page request of StreamID ${fields.SID}${ssid} for ${perms.join(' and ') || 'no access'} at ${fields.Address}, group ${fields.PRGIndex}${fields.Last === 1 ? ', the last of its group' : ''}.`,
    where: { at: 'hw.smmu', sid: String(fields.SID) },
  };
}

/** `read and write, privileged only` of a leaf. */
function access(word: bigint, stage: 1 | 2): string {
  const ap = Number((word >> 6n) & 3n);
  if (stage === 2) return ['no access', 'read', 'write', 'read and write'][ap] as string;
  return `${ap >= 2 ? 'read' : 'read and write'}${(ap & 1) === 0 ? ', privileged only' : ''}`;
}

const stageHint = (word: bigint): 1 | 2 | null =>
  (word & 0x800n) !== 0n ? 1 : ((word >> 2n) & 0xfn) === 0xfn && (word & 0xc0n) !== 0n ? 2 : null;

/** Part of a table that a walk reaches. */
export function tableRecord(
  found: FoundTable,
  words: readonly bigint[],
  first: number,
  line: number,
  at: bigint | number,
): Draft {
  const { tree, level } = found;
  const shift = shiftOf(level, tree.granule);
  const used = words.flatMap((w, i) => (w === 0n ? [] : [{ w, i }]));
  const entries = used.map(({ w, i }) => {
    const form = formOf(w, level, tree.granule);
    return {
      index: first + i,
      input: hexPlain(tree.offset + BigInt(found.input + (first + i) * 2 ** shift)),
      raw: word64(w),
      form,
      ...(form === 'table' ? { out: hexPlain(outputOf(w, tree.granule, tree.granule)) } : {}),
      ...(form === 'page' || form === 'block'
        ? { out: hexPlain(outputOf(w, shift, tree.granule)), access: access(w, tree.stage) }
        : {}),
    };
  });
  const count = (f: string): number => entries.filter((e) => e.form === f).length;
  const parts = (['table', 'block', 'page'] as const).flatMap((f) =>
    count(f) > 0 ? [`${count(f)} ${f} descriptor${count(f) === 1 ? '' : 's'}`] : [],
  );
  return {
    ...head('vmsav8_table', line, at),
    stage: tree.stage,
    level,
    granule: `${2 ** (tree.granule - 10)} KiB`,
    words: words.length,
    valid: entries.filter((e) => e.form !== 'invalid').length,
    entries,
    explain: `${words.length} descriptors of a stage-${tree.stage} level-${level} table, reached from the ${tree.stage === 1 ? 'context descriptor' : 'stream table entry'}: ${parts.join(', ') || 'nothing is mapped'}.`,
    where: { at: tree.stage === 1 ? 'hw.s1walk' : 'hw.s2tlb', stage: tree.stage },
  };
}

/** A descriptor that nothing in the text points to: its level and stage are what its bits allow. */
export function descriptorRecord(
  word: bigint,
  line: number,
  at: bigint | number | null,
  stage: 1 | 2 | null,
  granule: Granule = 12,
): Draft {
  const table = (word & 3n) === 3n && (word & 0x400n) === 0n;
  const level = table || (word & 2n) === 0n ? 2 : 3;
  const guess = stage ?? stageHint(word);
  const layout = descriptorLayout(guess ?? 1, level, word, granule);
  const what = (word & 1n) === 0n ? 'invalid' : table ? 'a table' : level === 3 ? 'a page' : 'a block';
  const where = guess === null ? 'a stage that its bits do not tell' : `stage ${guess}`;
  const out = hexPlain(word & 0xfffffffff000n);
  return {
    ...head('vmsav8_descriptor', line, at),
    stage: guess,
    form: what.replace(/^a /, ''),
    raw: [word64(word)],
    fields: fieldsOf(layout, [word]),
    layout: layout.id,
    explain:
      what === 'invalid'
        ? 'A page-table descriptor that maps nothing.'
        : `A page-table descriptor of ${where}: ${what}${table ? ', the next one at' : ' at'} ${out}${table ? '' : `, ${access(word, guess ?? 1)}, access flag ${(word & 0x400n) !== 0n ? 'set' : 'clear'}`}.`,
    where: { at: guess === 2 ? 'hw.s2tlb' : 'hw.s1walk' },
  };
}

const names: Readonly<Record<string, string>> = {
  ste: 'a stream table entry (STE)',
  cd: 'a context descriptor (CD)',
  event: 'event records',
  command: 'commands',
  descriptors: 'page-table descriptors',
  l1std: 'level-1 stream table descriptors',
  l1cd: 'level-1 context descriptors',
};

/** Bytes that can be several things, or nothing quite: each with the reason. */
export function undecidedRecord(
  words: readonly bigint[],
  line: number,
  at: bigint | null,
  all: readonly Candidate[],
): Draft {
  const best =
    (['legal', 'shaped'] as const).map((f) => all.filter((c) => c.fit === f)).find((l) => l.length > 0) ?? [];
  const listed = best.map((c) => `${names[c.kind]} (${c.reason})`);
  return {
    ...head('smmuv3_undecided', line, at),
    raw: words.slice(0, 64).map(word64),
    candidates: all.map((c) => ({ kind: c.kind, fit: c.fit, reason: c.reason })),
    explain:
      listed.length > 0
        ? `${8 * words.length} bytes that can be ${listed.join(', or ')}; a line above them such as "STE:" or "CD:" decides it.`
        : `${8 * words.length} bytes that are none of the records of an SMMUv3: ${all.map((c) => `no ${names[c.kind]?.replace(/^an? /, '')}: ${c.reason}`).join('; ')}.`,
  };
}
