import type { VmmRules } from './rules.ts';

type DeviationOf<K extends keyof VmmRules> = {
  readonly name: string;
  readonly rule: K;
  readonly about: string;
  readonly instead: VmmRules[K];
};

/** One rule of the VMM replaced by a broken or a different one. */
export type VmmDeviation = { [K in keyof VmmRules]: DeviationOf<K> }[keyof VmmRules];
