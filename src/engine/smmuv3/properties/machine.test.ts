import { describe, it } from 'vitest';
import { obeys as obeysRules } from '../../properties/obeyed-rules.ts';
import type { MachineForm } from '../../properties/random-machine.ts';
import { smmuv3 } from './kind.ts';

const obeys = (m: MachineForm): void => obeysRules(smmuv3, m);

describe('a machine whose drivers obey every rule', () => {
  it('one guest', () => obeys({}), 120_000);
  it('two guests', () => obeys({ guests: ['vm0', 'vm1'] }), 120_000);
  it('two units', () => obeys({ iommus: ['smmu0', 'smmu1'] }), 120_000);
  it(
    'no range invalidation, small caches',
    () => obeys({ features: { RIL: false, iotlbEntries: 3, atcEntries: 2 } }),
    120_000,
  );
  it('commands in batches', () => obeys({ policy: { batch: 16 } }), 120_000);
  it(
    'page faults forwarded, stalls',
    () => obeys({ policy: { pageFaults: 'forwarded' }, features: { STALL_MODEL: 0 } }),
    120_000,
  );
  it('a guest of 16 KiB pages', () => obeys({ features: { guestPage: '16KiB' } }), 120_000);
  it(
    'a guest and a host of 64 KiB pages',
    () => obeys({ features: { guestPage: '64KiB', hostPage: '64KiB' } }),
    120_000,
  );
});
