import { describe, expect, it } from 'vitest';
import { broken } from '../../properties/broken-rules.ts';
import { vtdVendor } from '../index.ts';
import { vtd } from './kind.ts';

/** Steps after which something was stale, over all rules. */
let stale = 0;

describe('with one rule broken', () => {
  for (const d of vtdVendor.deviations)
    it(d.name, () => {
      stale += broken(vtd, d.name);
    }, 600_000);
  it('some of it was stale', () => expect(stale).toBeGreaterThan(10));
});
