import { type Deviation, rulesWith } from '../../machine/index.ts';
import { type LinuxRules, linuxDeviationNames, linuxDeviations, linuxRulesWith } from '../linux/index.ts';
import { type HostRules, type NestingRules, nestingRules } from './rules.ts';

export type HostDeviation = Deviation<LinuxRules> | Deviation<NestingRules>;

/** Rules that only a host has, broken one at a time. */
export const nestingDeviations: readonly Deviation<NestingRules>[] = [
  {
    name: 'host.read-only-parent',
    rule: 'refusesReadOnly',
    about:
      'A nest parent accepts read-only mappings: on parts with erratum 772415 the hardware writes the accessed and ' +
      'dirty bits of guest tables through them.',
    instead: () => false,
  },
  {
    name: 'host.no-forced-snoop',
    rule: 'enforcesCoherency',
    about:
      'Leaves have no SNP and nested entries no PGSNP: a device that does not snoop reads what a CPU has not written back.',
    instead: () => false,
  },
  {
    name: 'host.nested-leaf-always',
    rule: 'leavesOnly',
    about:
      'A guest’s invalidation always goes out with IH = 1. After the guest freed a table page, cached table entries still lead ' +
      'into it.',
    instead: () => true,
  },
  {
    name: 'host.nested-one-page',
    rule: 'invalidatedPages',
    about:
      'Of a guest’s invalidation only the first page is passed on: the others stay in the IOTLB and the device TLB.',
    instead: (npages) => (npages === 2n ** 64n - 1n ? npages : 1n),
  },
  {
    name: 'host.dirty-without-flush',
    rule: 'flushesCleaned',
    about:
      'Dirty bits are read and cleared, and nothing is invalidated: a write through a cached translation that says dirty ' +
      'leaves no mark, and a migration loses the page.',
    instead: () => false,
  },
];

/** Names start with `host.`; `about` is what a reader is told. */
export const hostDeviations: readonly HostDeviation[] = [...linuxDeviations('host'), ...nestingDeviations];

/** The rules with the named deviations in place. @throws Error for a `host.` name that does not exist */
export function hostRulesWith(names: readonly string[]): HostRules {
  const core = linuxDeviationNames('host');
  const own = names.filter((n) => !core.includes(n));
  return {
    linux: linuxRulesWith('driver', names),
    nesting: rulesWith(nestingRules, nestingDeviations, 'host', own),
  };
}
