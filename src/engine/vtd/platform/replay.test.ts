import { replaysAlike } from '../../document/fixtures/replay-promises.ts';
import { loadVendors } from '../../machine/vendors.ts';
import { documents } from './fixtures/documents.ts';

await loadVendors(['vtd']);

replaysAlike(Object.values(documents));
