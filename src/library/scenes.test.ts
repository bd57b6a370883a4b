import { keepsPromises } from '../engine/document/fixtures/platform-promises.ts';
import { scenarios } from './index.ts';

for (const s of scenarios) keepsPromises(s.title, () => s.load());
