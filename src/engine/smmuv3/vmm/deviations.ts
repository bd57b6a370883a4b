import { rulesWith } from '../../machine/index.ts';
import { commandDeviations } from './command-deviations.ts';
import type { VmmDeviation } from './deviation.ts';
import { machineDeviations } from './machine-deviations.ts';
import { type VmmRules, vmmRules } from './rules.ts';
import { steDeviations } from './ste-deviations.ts';

/**
 * Names start with `vmm.`; `about` is what a reader is told. Commands first, then STEs, off switches and reset, devices and
 * events.
 */
export const vmmDeviations: readonly VmmDeviation[] = [...commandDeviations, ...steDeviations, ...machineDeviations];

/** The rules with the named deviations in place. @throws Error for a `vmm.` name that does not exist */
export const vmmRulesWith = (names: readonly string[]): VmmRules => rulesWith(vmmRules, vmmDeviations, 'vmm', names);
