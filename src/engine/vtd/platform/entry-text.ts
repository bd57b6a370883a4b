import { fieldOf, getField, hex } from '../../bits/index.ts';
import { contextLayout, pasidLayout } from '../layout/index.ts';

type Words = readonly bigint[];

const reader =
  (layout: typeof pasidLayout, words: Words) =>
  (name: string): bigint =>
    getField(fieldOf(layout, name), words);

const kinds: Readonly<Record<number, string>> = { 1: 'FS only', 2: 'SS only', 3: 'nested', 4: 'pass-through' };

/** What a PASID entry does, in words and numbers. */
export interface PasidText {
  readonly present: boolean;
  /** PGTT. */
  readonly type: number;
  readonly did: number;
  readonly fs: bigint;
  readonly ss: bigint;
  /** `nested · DID 4` */
  readonly text: string;
  /** `FS 0x1_0456_7000` */
  readonly tables: readonly string[];
}

/** @param words the 64 bytes of the entry */
export function pasidText(words: Words): PasidText {
  const get = reader(pasidLayout, words);
  const type = Number(get('PGTT'));
  const did = Number(get('DID'));
  const present = get('P') === 1n;
  const fs = get('FSPTPTR');
  const ss = get('SSPTPTR');
  const off = get('FPD') === 1n ? 'not present, faults silenced' : 'not present';
  const tables: string[] = [];
  if (present && (type === 1 || type === 3)) tables.push(`FS ${hex(fs)}`);
  if (present && (type === 2 || type === 3)) tables.push(`SS ${hex(ss)}`);
  return { present, type, did, fs, ss, text: present ? `${kinds[type] ?? 'illegal'} · DID ${did}` : off, tables };
}

/** `ATS PASID PRI` of a scalable-mode context entry: what the device may send. */
export function contextText(words: Words): string {
  const get = reader(contextLayout, words);
  if (get('P') === 0n) return 'absent';
  const may = [
    ['DTE', 'ATS'],
    ['PASIDE', 'PASID'],
    ['PRE', 'PRI'],
  ].flatMap(([f, text]) => (get(f!) === 1n ? [text!] : []));
  return may.length ? may.join(' ') : 'plain';
}
