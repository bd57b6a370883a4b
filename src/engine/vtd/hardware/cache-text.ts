import { hex } from '../../bits/index.ts';
import { A, ATTR, B, inputOf, LEVEL, outputOf, SHIFT, sizeText, type TranslationCache } from '../../cache/index.ts';
import { FS_CLEAN, PRIV_SHIFT, SNOOP, SS_CLEAN, SS_SHIFT } from '../../pagetable/x86-64.ts';
import { NO_PASID } from '../../pci/index.ts';
import type { ContextEntry, PasidEntry } from './config.ts';
import { ABSENT, PGTT_SHIFT } from './iotlb-tags.ts';

export type ConfigCacheName = 'Context' | 'PASID';

/** Columns of each cache, in the order of its cells. */
export const cacheColumns: Readonly<Record<string, readonly string[]>> = {
  Context: ['RID', 'content'],
  PASID: ['RID', 'PASID', 'DID', 'content'],
  IOTLB: ['DID', 'PASID', 'type', 'IOVA', 'PA', 'size', 'perm'],
  'FS walk': ['DID', 'PASID', 'IOVA', 'table', 'level'],
  'SS walk': ['DID', 'PASID', 'GPA', 'table', 'level'],
  ATC: ['PASID', 'IOVA', 'PA', 'size', 'perm'],
};

/** Names of the translation types, by PGTT. */
export const pgttNames = ['none', 'FS', 'SS', 'nested', 'PT'] as const;

const rw = (p: number): string => (p & 1 ? 'r' : '-') + (p & 2 ? 'w' : '-');

/** Permissions of a user access, both stages together; `priv` is added where a supervisor may do more. */
export function permText(attr: number): string {
  const ss = (attr >> SS_SHIFT) & 3;
  const user = attr & ss;
  const priv = (attr >> PRIV_SHIFT) & ss;
  const clean = (attr & (FS_CLEAN | SS_CLEAN)) !== 0 ? ' clean' : '';
  return `${rw(user)}${user === priv ? '' : ` priv ${rw(priv)}`}${clean}${(attr & SNOOP) !== 0 ? ' snp' : ''}`;
}

/** PASID as the specification and Linux print it. */
export const pasidText = (pasid: number): string => hex(pasid);

/** Tag and output of a translation-cache entry, one cell a column. */
export function translationCells(c: TranslationCache, i: number): string[] {
  const did = String(c.e[i + A]);
  const pasid = c.e[i + B]!;
  const input = hex(inputOf(c, i));
  const output = hex(outputOf(c, i));
  const size = sizeText(c.e[i + SHIFT]!);
  const attr = c.e[i + ATTR]!;
  switch (c.name) {
    case 'IOTLB':
      if ((attr & ABSENT) !== 0) return [did, pasidText(pasid), 'absent', input, '–', size, '--'];
      return [did, pasidText(pasid), pgttNames[(attr >> PGTT_SHIFT) & 7]!, input, output, size, permText(attr)];
    case 'FS walk':
    case 'SS walk':
      return [did, pasidText(pasid), input, output, `L${c.e[i + LEVEL]}`];
    default:
      return [pasid === NO_PASID ? '–' : pasidText(pasid), input, output, size, rw(attr & 3)];
  }
}

const unusable = (words: Uint32Array): string => ((words[0]! & 1) === 0 ? 'not present' : 'illegal');

const legacyTypes = ['SS', 'SS, ATS', 'PT', 'reserved'];

/** Cells of a context-cache or PASID-cache entry. */
export function configCells(cache: ConfigCacheName, e: ContextEntry | PasidEntry): string[] {
  if (cache === 'Context') {
    const c = e as ContextEntry;
    const flags = [c.dte ? 'DTE' : '', c.paside ? 'PASIDE' : '', c.pre ? 'PRE' : ''].filter((x) => x !== '');
    const legacy = `${legacyTypes[(c.words[0]! >>> 2) & 3]!} did ${c.did}`;
    if (c.fault !== 0) return [hex(c.rid), unusable(c.words)];
    return [hex(c.rid), c.scalable ? `directory ${hex(c.directory)}${flags.map((x) => ` ${x}`).join('')}` : legacy];
  }
  const p = e as PasidEntry;
  if (p.fault !== 0) return [hex(p.rid), pasidText(p.pasid), '–', unusable(p.words)];
  return [hex(p.rid), pasidText(p.pasid), String(p.did), pgttNames[p.pgtt]!];
}
