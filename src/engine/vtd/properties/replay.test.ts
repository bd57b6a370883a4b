import { describe, expect, it } from 'vitest';
import { type MachineForm, sessionOf } from '../../properties/random-machine.ts';
import { replays as replaysAlike, stateText } from '../../properties/replayed-runs.ts';
import { vtd } from './kind.ts';

const replays = (m: MachineForm): void => replaysAlike(vtd, m);

describe('replay from a checkpoint equals replay from the start, byte for byte', () => {
  it('of one guest', () => replays({}), 120_000);
  it('of two guests behind two units', () => replays({ guests: ['vm0', 'vm1'], iommus: ['dmar0', 'dmar1'] }), 120_000);
  it(
    'with page requests forwarded and small caches',
    () => replays({ policy: { pageFaults: 'forwarded' }, features: { iotlbEntries: 3, CM: true } }),
    120_000,
  );

  it('the comparison sees a single bit of memory', () => {
    const s = sessionOf(vtd, {}, [{ do: 'memory.write', space: 'host', at: '0x10000000', u8: [1] }]);
    s.runAll();
    expect(stateText(s, 0)).not.toBe(stateText(s, 1));
  });
});
