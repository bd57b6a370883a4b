import { describe, expect, it } from 'vitest';
import { type MachineForm, sessionOf } from '../../properties/random-machine.ts';
import { replays as replaysAlike, stateText } from '../../properties/replayed-runs.ts';
import { smmuv3 } from './kind.ts';

const replays = (m: MachineForm): void => replaysAlike(smmuv3, m);

describe('replay from a checkpoint equals replay from the start, byte for byte', () => {
  it('of one guest', () => replays({}), 120_000);
  it('of two guests behind two units', () => replays({ guests: ['vm0', 'vm1'], iommus: ['smmu0', 'smmu1'] }), 120_000);
  it(
    'with page faults forwarded and transactions that stall',
    () => replays({ policy: { pageFaults: 'forwarded' }, features: { STALL_MODEL: 0 } }),
    120_000,
  );

  it('the comparison sees a single bit of memory', () => {
    const s = sessionOf(smmuv3, {}, [{ do: 'memory.write', space: 'host', at: '0x10000000', u8: [1] }]);
    s.runAll();
    expect(stateText(s, 0)).not.toBe(stateText(s, 1));
  });
});
