import type { Deviation } from '../../machine/index.ts';
import type { VmmRules } from './rules.ts';

/** One rule of the VMM replaced by a broken or a different one. */
export type VmmDeviation = Deviation<VmmRules>;
