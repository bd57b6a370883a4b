import { type Deviation, rulesWith } from '../../machine/index.ts';
import { linuxCommonDeviations } from './deviations-common.ts';
import { linuxHostDeviations } from './deviations-host.ts';
import { shown } from './deviations-shown.ts';
import { type LinuxRules, linuxRules } from './rules.ts';

export type LinuxDeviation = Deviation<LinuxRules>;

/**
 * Rules of the driver broken one at a time, for a host or for a guest: the same definitions under `host.` or `guest.`. What
 * needs a nest parent only a host has.
 */
export function linuxDeviations(of: 'host' | 'guest'): readonly LinuxDeviation[] {
  const named = (d: LinuxDeviation): LinuxDeviation => ({
    ...d,
    name: `${of}.${d.name}`,
    about: `${d.about}${shown(of, d.name)}`,
  });
  return [...linuxCommonDeviations, ...(of === 'host' ? linuxHostDeviations : [])].map(named);
}

export const linuxDeviationNames = (of: 'host' | 'guest'): readonly string[] => linuxDeviations(of).map((d) => d.name);

/** The rules of a host ('driver') or a guest with the named deviations in place; names that are not this room's are skipped. */
export function linuxRulesWith(actor: 'driver' | 'guest', names: readonly string[]): LinuxRules {
  const of = actor === 'driver' ? 'host' : 'guest';
  const deviations = linuxDeviations(of);
  const known = names.filter((n) => deviations.some((d) => d.name === n));
  return rulesWith(linuxRules, deviations, of, known);
}
