import { hex } from '../../bits/index.ts';
import {
  A,
  ATTR,
  B,
  GLOBAL,
  inputOf,
  LEVEL,
  outputOf,
  SHIFT,
  sizeText,
  type TranslationCache,
} from '../../cache/index.ts';
import { PRIV_SHIFT, S1_CLEAN, S2_CLEAN, S2_SHIFT, UNPRIV_SHIFT } from '../../pagetable/vmsav8.ts';
import { NO_PASID } from '../../pci/index.ts';
import type { L1Entry } from './caches.ts';
import type { CdConfig, SteConfig } from './config.ts';

export type ConfigCacheName = 'STE' | 'CD' | 'L1STD' | 'L1CD';

/** Columns of each cache, in the order of its cells. */
export const cacheColumns: Readonly<Record<string, readonly string[]>> = {
  IOTLB: ['VMID', 'ASID', 'VA', 'PA', 'size', 'perm'],
  'S1 walk': ['VMID', 'ASID', 'VA', 'table', 'level'],
  'S2 TLB': ['VMID', 'IPA', 'PA', 'size', 'perm'],
  'S2 walk': ['VMID', 'IPA', 'table', 'level'],
  ATC: ['PASID', 'VA', 'PA', 'size', 'perm'],
  config: ['record', 'tag', 'content'],
};

export { inputOf, outputOf, sizeText } from '../../cache/index.ts';

const rwx = (p: number): string => (p & 1 ? 'r' : '-') + (p & 2 ? 'w' : '-') + (p & 4 ? 'x' : '-');

/** ` clean` where the first write has to mark the page dirty. */
const cleanText = (attr: number): string => ((attr & (S1_CLEAN | S2_CLEAN)) !== 0 ? ' clean' : '');

/** Permissions of an unprivileged access, both stages together; `priv` is added where only privileged accesses pass. */
export function permText(attr: number): string {
  const s2 = attr >> S2_SHIFT;
  const unpriv = (attr >> UNPRIV_SHIFT) & s2 & 3;
  const priv = (attr >> PRIV_SHIFT) & s2 & 3;
  const one = rwx(unpriv).slice(0, 2);
  return `${unpriv === priv ? one : `${one} priv ${rwx(priv).slice(0, 2)}`}${cleanText(attr)}`;
}

/** Tag and output of a translation-cache entry, one cell a column. */
export function translationCells(c: TranslationCache, i: number): string[] {
  const vmid = c.e[i + A] === 0x10000 ? 'EL2' : String(c.e[i + A]);
  const asid = c.e[i + B] === GLOBAL ? 'any' : String(c.e[i + B]);
  const input = hex(inputOf(c, i));
  const output = hex(outputOf(c, i));
  const size = sizeText(c.e[i + SHIFT]!);
  switch (c.name) {
    case 'IOTLB':
      return [vmid, asid, input, output, size, permText(c.e[i + ATTR]!)];
    case 'S1 walk':
      return [vmid, asid, input, output, `L${c.e[i + LEVEL]}`];
    case 'S2 TLB':
      return [vmid, input, output, size, rwx((c.e[i + ATTR]! >> S2_SHIFT) & 3).slice(0, 2) + cleanText(c.e[i + ATTR]!)];
    case 'S2 walk':
      return [vmid, input, output, `L${c.e[i + LEVEL]}`];
    default:
      return [
        c.e[i + B] === NO_PASID ? '–' : String(c.e[i + B]),
        input,
        output,
        size,
        rwx(c.e[i + ATTR]! & 3).slice(0, 2),
      ];
  }
}

const configNames = ['abort', 'abort', 'abort', 'abort', 'bypass', 'S1', 'S2', 'S1+S2'];

/** Cells of a configuration-cache entry. */
export function configCells(cache: ConfigCacheName, e: SteConfig | CdConfig | L1Entry): string[] {
  switch (cache) {
    case 'STE': {
      const s = e as SteConfig;
      return [
        'STE',
        hex(s.sid),
        s.bad ? 'illegal' : `${configNames[s.config]!}${s.config >= 6 ? ` vmid ${s.vmid}` : ''}`,
      ];
    }
    case 'CD': {
      const d = e as CdConfig;
      return ['CD', `${hex(d.sid)}${d.ssid === 0 ? '' : `.${d.ssid}`}`, d.bad ? 'illegal' : `asid ${d.asid}`];
    }
    case 'L1STD': {
      const l = e as L1Entry;
      return ['L1STD', hex(l.key), hex(l.word & 0xfffffffffffc0n)];
    }
    case 'L1CD': {
      const l = e as L1Entry;
      return ['L1CD', `${hex(l.sid)}.${l.key % 16384}`, hex(l.word & 0xffffffffff000n)];
    }
  }
}
