import { keepsPromises } from '../../document/fixtures/platform-promises.ts';
import { playAsExpected } from '../../document/fixtures/played.ts';
import { loadVendors } from '../../machine/vendors.ts';
import { documents } from './fixtures/documents.ts';

await loadVendors(['vtd']);

playAsExpected(Object.values(documents));

for (const d of Object.values(documents)) keepsPromises(d.title, () => d);
