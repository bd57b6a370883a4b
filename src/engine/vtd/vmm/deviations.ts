import { rulesWith } from '../../machine/index.ts';
import { bindingDeviations } from './binding-deviations.ts';
import type { VmmDeviation } from './deviation.ts';
import { flushDeviations } from './flush-deviations.ts';
import { machineDeviations } from './machine-deviations.ts';
import { queueDeviations } from './queue-deviations.ts';
import { type VmmRules, vmmRules } from './rules.ts';

/** Names start with `vmm.`; `about` is what a reader is told. Invalidations first, then the queue, bindings, the rest. */
export const vmmDeviations: readonly VmmDeviation[] = [
  ...flushDeviations,
  ...queueDeviations,
  ...bindingDeviations,
  ...machineDeviations,
];

/** The rules with the named deviations in place. @throws Error for a `vmm.` name that does not exist */
export const vmmRulesWith = (names: readonly string[]): VmmRules => rulesWith(vmmRules, vmmDeviations, 'vmm', names);
