import { describe, it } from 'vitest';
import { obeys as obeysRules } from '../../properties/obeyed-rules.ts';
import type { MachineForm } from '../../properties/random-machine.ts';
import { vtd } from './kind.ts';

const obeys = (m: MachineForm): void => obeysRules(vtd, m);

describe('a machine whose drivers obey every rule', () => {
  it('one guest', () => obeys({}), 120_000);
  it('two guests', () => obeys({ guests: ['vm0', 'vm1'] }), 120_000);
  it('two units', () => obeys({ iommus: ['dmar0', 'dmar1'] }), 120_000);
  it(
    'no page-selective invalidation, small caches',
    () => obeys({ features: { PSI: false, iotlbEntries: 3, atcEntries: 2 } }),
    120_000,
  );
  it('a unit that caches what is not present', () => obeys({ features: { CM: true, RWBF: true } }), 120_000);
  it('small masks, few levels', () => obeys({ features: { MAMV: 2, SAGAW: 4, MGAW: 48, FS5LP: false } }), 120_000);
  it('commands in batches', () => obeys({ policy: { batch: 16 } }), 120_000);
  it('page requests forwarded', () => obeys({ policy: { pageFaults: 'forwarded' } }), 120_000);
});
