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

/**
 * The rules with the named deviations in place; names of other actors are skipped.
 * @throws Error for a `vmm.` name that does not exist
 */
export function vmmRulesWith(names: readonly string[]): VmmRules {
  const rules: VmmRules = { ...vmmRules };
  for (const name of names.filter((n) => n.startsWith('vmm.'))) {
    const d = vmmDeviations.find((x) => x.name === name);
    if (!d) throw new Error(`no deviation is named ${name}; known: ${vmmDeviations.map((x) => x.name).join(', ')}`);
    Object.assign(rules, { [d.rule]: d.instead });
  }
  return rules;
}
