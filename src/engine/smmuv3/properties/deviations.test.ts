import { describe, expect, it } from 'vitest';
import { broken } from '../../properties/broken-rules.ts';
import { smmuv3Vendor } from '../index.ts';
import { smmuv3 } from './kind.ts';

/** Steps after which something was stale, over all rules. */
let stale = 0;

describe('with one rule broken', () => {
  for (const d of smmuv3Vendor.deviations)
    it(d.name, () => {
      stale += broken(smmuv3, d.name);
    }, 600_000);
  it('some of it was stale', () => expect(stale).toBeGreaterThan(10));
});
