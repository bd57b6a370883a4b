import { wordOf } from '../bits/index.ts';
import { IN_HI, IN_LO, OUT_HI, OUT_LO } from './entry.ts';
import type { TranslationCache } from './translation-cache.ts';

/** Address of a column pair as a bigint. */
export const inputOf = (c: TranslationCache, i: number): bigint => wordOf(c.e[i + IN_HI]!, c.e[i + IN_LO]!);
export const outputOf = (c: TranslationCache, i: number): bigint => wordOf(c.e[i + OUT_HI]!, c.e[i + OUT_LO]!);

/** `4K`, `2M`, `1G` of a log2. */
export function sizeText(shift: number): string {
  const units = ['', 'K', 'M', 'G', 'T'];
  return `${2 ** (shift % 10)}${units[Math.floor(shift / 10)]}`;
}
