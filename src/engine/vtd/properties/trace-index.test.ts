import { describe, it } from 'vitest';
import { indexes } from '../../properties/indexed-runs.ts';
import { vtd } from './kind.ts';

describe('lives, origins and words of a trace are those of the machine', () => {
  it('of one guest', () => indexes(vtd, {}), 120_000);
  it('of two guests behind two units', () => indexes(vtd, { guests: ['vm0', 'vm1'], iommus: ['u0', 'u1'] }), 120_000);
});
