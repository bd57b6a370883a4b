/** Every entry of a dump as a record, in the order of the text. */

import type { Sink } from '../reader.ts';
import type { Draft } from '../record.ts';
import type { Block } from './blocks.ts';
import { lineOf } from './blocks.ts';
import { type Candidate, decide, judge, type Kind } from './judge.ts';
import type { Dump, Role } from './link.ts';
import { cdRecord, descriptorRecord, l1Record, steRecord, tableRecord, undecidedRecord } from './table-records.ts';

/** Records of one block at most; what lies behind is one entry of the list of unread text. */
const MOST = 4096;

interface Piece {
  readonly first: number;
  readonly count: number;
  readonly role: Role | null;
}

/** Cuts a block where what its bytes are changes. */
function pieces(dump: Dump, block: Block): Piece[] {
  if (block.pa === null) return [{ first: 0, count: block.words.length, role: null }];
  const out: { first: number; count: number; role: Role | null }[] = [];
  for (let i = 0; i < block.words.length; i++) {
    const role = dump.roleAt(block.pa + 8 * i);
    const last = out.at(-1);
    if (last && last.role === role) last.count++;
    else out.push({ first: i, count: 1, role });
  }
  return out;
}

const empty = (words: readonly bigint[]): boolean => words.every((w) => w === 0n);

function roleRecord(block: Block, p: Piece, role: Role): Draft | null {
  const words = block.words.slice(p.first, p.first + p.count);
  const line = lineOf(block, p.first);
  const address = block.address === null ? null : block.address + BigInt(8 * p.first);
  const whole = p.count === 8 && block.pa! + 8 * p.first === role.at;
  switch (role.kind) {
    case 'ste':
      return whole ? steRecord(words, line, { address, sid: role.sid, padded: block.padded }) : null;
    case 'cd':
      return whole ? cdRecord(words, line, { address, ssid: role.ssid, s1stalld: role.s1stalld }) : null;
    case 'l1cd':
      return l1Record('l1cd', words[0]!, line, address, 0);
    case 'table':
      return tableRecord(role.found, words, (block.pa! + 8 * p.first - role.found.pa) / 8, line, address!);
  }
}

function kindRecords(block: Block, kind: Kind, p: Piece): Draft[] {
  const out: Draft[] = [];
  const stage = block.hint === 'stage 1 table' ? 1 : block.hint === 'stage 2 table' ? 2 : null;
  const step = kind === 'ste' || kind === 'cd' ? 8 : 1;
  for (let i = p.first; i + step <= p.first + p.count; i += step) {
    const words = block.words.slice(i, i + step);
    // Of a long run the empty entries say nothing.
    if (empty(words) && p.count > step) continue;
    const line = lineOf(block, i);
    const address = block.address === null ? null : block.address + BigInt(8 * i);
    const last = i + step === block.words.length;
    const padded = last ? block.padded : 0;
    if (kind === 'ste')
      out.push(steRecord(words, line, { address, sid: block.sid === null ? null : block.sid + i / 8, padded }));
    else if (kind === 'cd') out.push(cdRecord(words, line, { address, ssid: p.count > 8 ? i / 8 : null, padded }));
    else if (kind === 'l1std' || kind === 'l1cd') out.push(l1Record(kind, words[0]!, line, address, i));
    else out.push(descriptorRecord(words[0]!, line, address, stage));
  }
  return out;
}

/**
 * Puts the records of a dump out.
 * @param only the text holds nothing else, so that what cannot be decided is still shown
 * @param alone no line of the text was anything else; among other lines, numbers without an address or a label must be plainly
 * STEs or CDs to be taken for a dump
 * @param entries takes a block of queue entries
 * @returns the blocks that are nothing that is known
 */
export function dumpRecords(
  dump: Dump,
  sink: Sink,
  only: boolean,
  alone: boolean,
  entries: (block: Block, kind: 'event' | 'command') => void,
): { block: Block; why: string }[] {
  const unread: { block: Block; why: string }[] = [];
  for (const block of dump.blocks) {
    const parts = pieces(dump, block);
    const linked = parts.some((p) => p.role !== null);
    for (const p of parts) {
      const words = block.words.slice(p.first, p.first + p.count);
      const record = p.role && roleRecord(block, p, p.role);
      if (record) {
        sink.record(record);
        continue;
      }
      if (linked && empty(words)) continue;
      const whole = parts.length === 1;
      const kind = whole ? block.kind : (decide(judge(words))?.kind ?? null);
      if (whole && (kind === 'event' || kind === 'command')) {
        entries(block, kind);
        continue;
      }
      if (whole && !alone && unclear(block, kind)) {
        unread.push({ block, why: whyNot(judge(words)) });
        continue;
      }
      if (kind === null || (kind !== 'descriptors' && kind !== 'l1std' && kind !== 'l1cd' && p.count % 8 !== 0)) {
        const all = judge(words);
        const any = all.some((c) => c.fit !== 'no');
        if (any || (only && p.count >= 8))
          sink.record(undecidedRecord(words, lineOf(block, p.first), block.address, all));
        else unread.push({ block, why: whyNot(all) });
        continue;
      }
      const list = kindRecords(block, kind, p);
      for (const r of list.slice(0, MOST)) sink.record(r);
    }
  }
  return unread;
}

/** Columns of other dumps look like descriptors, or like nothing. */
const unclear = (block: Block, kind: Kind | null): boolean =>
  block.address === null &&
  block.hint === null &&
  kind !== 'ste' &&
  kind !== 'cd' &&
  !(kind === null && judge(block.words).some((c) => c.fit === 'legal' && (c.kind === 'ste' || c.kind === 'cd')));

const short: Readonly<Record<string, string>> = { ste: 'STE', cd: 'CD', event: 'event record', command: 'command' };

function whyNot(all: readonly Candidate[]): string {
  const why = all.filter((c) => c.kind === 'ste' || c.kind === 'cd').map((c) => `no ${short[c.kind]}: ${c.reason}`);
  const kinds = all.filter((c) => c.kind === 'event' || c.kind === 'command').map((c) => short[c.kind]);
  return why.length === 0
    ? 'hexadecimal numbers that are neither a command nor an event record of an SMMUv3'
    : `hexadecimal numbers that are neither ${kinds.join(' nor ')} nor STE, CD or page table of an SMMUv3 (${why.join('; ')})`;
}
