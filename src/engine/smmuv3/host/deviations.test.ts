import { describe, expect, it } from 'vitest';
import { effects as invalidation } from './deviation-effects.ts';
import { otherEffects } from './deviation-effects-more.ts';
import { hostDeviations, hostRulesWith } from './deviations.ts';
import { type HostRules, hostRules } from './rules.ts';

/** Rules that neither send nor order an invalidation: what is looked at, accepted, built or shown. */
const others: readonly (keyof HostRules)[] = [
  'steUsed',
  'cdUsed',
  'cdSafe',
  'stePrefetch',
  'validateVste',
  'physicalSte',
  'guestEvent',
];

const effects = { ...invalidation, ...otherEffects };

describe('deviations', () => {
  it('there is one for every rule that sends or orders an invalidation', () => {
    const broken = new Set(hostDeviations.map((d) => d.rule));
    const rules = Object.keys(hostRules) as (keyof HostRules)[];
    expect(rules.filter((r) => !broken.has(r)).sort()).toEqual([...others].sort());
  });

  it('each has a scene that shows it', () => {
    expect(Object.keys(effects).sort()).toEqual(hostDeviations.map((d) => d.name).sort());
  });

  it.each(Object.entries(effects))('%s', (name, e) => {
    expect(e.seen([])).toEqual(e.right);
    expect(e.seen([name])).toEqual(e.wrong);
  });

  it('replace one rule each, by a name of their own', () => {
    const names = hostDeviations.map((d) => d.name);
    expect(new Set(names).size).toBe(names.length);
    for (const d of hostDeviations) {
      const rules = hostRulesWith([d.name, 'guest.no-tlbi']);
      const changed = Object.keys(hostRules).filter(
        (k) => rules[k as keyof typeof rules] !== hostRules[k as keyof typeof rules],
      );
      expect(changed).toEqual([d.rule]);
    }
    expect(() => hostRulesWith(['host.no-such-thing'])).toThrow('no deviation is named host.no-such-thing');
  });
});
