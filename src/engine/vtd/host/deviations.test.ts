import { describe, expect, it } from 'vitest';
import { linuxDeviationNames } from '../linux/index.ts';
import { effects } from './deviation-effects.ts';
import { hostDeviations, hostRulesWith, nestingDeviations } from './deviations.ts';
import { nestingRules } from './rules.ts';

describe('deviations', () => {
  it('there is one for every rule that only a host has', () => {
    const broken = new Set<string>(nestingDeviations.map((d) => d.rule));
    expect([...broken].sort()).toEqual(Object.keys(nestingRules).sort());
  });

  it('each that a guest cannot have has a scene that shows it', () => {
    const guest = linuxDeviationNames('guest').map((n) => n.replace('guest.', 'host.'));
    const own = hostDeviations.map((d) => d.name).filter((n) => !guest.includes(n));
    expect(Object.keys(effects).sort()).toEqual(own.sort());
  });

  it.each(Object.entries(effects))('%s', (name, e) => {
    expect(e.seen([])).toEqual(e.right);
    expect(e.seen([name])).toEqual(e.wrong);
  });

  it('have names of their own, and an unknown one is refused', () => {
    const names = hostDeviations.map((d) => d.name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(hostRulesWith([name, 'guest.no-such'])).toBeTruthy();
    expect(() => hostRulesWith(['host.no-such-thing'])).toThrow('no deviation is named host.no-such-thing');
  });
});
