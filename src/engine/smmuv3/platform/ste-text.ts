import { fieldOf, getField } from '../../bits/index.ts';
import { steLayout } from '../layout/index.ts';

const configs: Readonly<Record<number, string>> = { 4: 'bypass', 5: 'S1 translate', 6: 'S2 translate', 7: 'S1 + S2' };

/** `S1 translate, ATS` of an STE's words. */
export function steText(words: readonly bigint[]): string {
  const get = (n: string): number => Number(getField(fieldOf(steLayout, n), words));
  if (!get('V')) return 'V=0';
  const config = configs[get('Config')] ?? 'abort';
  return get('EATS') === 1 ? `${config}, ATS` : config;
}
