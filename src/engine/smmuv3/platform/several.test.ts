import { expect, it } from 'vitest';
import { keepsPromises } from '../../document/fixtures/platform-promises.ts';
import { play, playAsExpected } from '../../document/fixtures/played.ts';
import { loadVendors } from '../../machine/vendors.ts';
import { documents } from './fixtures/documents.ts';

await loadVendors(['smmuv3']);

playAsExpected(Object.values(documents));

it('a fault queue shows the page requests in it until they are answered', () => {
  const session = play(documents.sva);
  const step = 5;
  const { events } = session.steps[step]!;
  const seen = events.flatMap((_, i) => {
    const p = session.platformAt(step, i + 1);
    const queue = p.scene([]).objects.find((o) => o.type === 'FAULT')!;
    return p.inspect(queue.id)!.facts.map((f) => `${f.name}: ${f.value} (${f.note})`);
  });
  // The device writes to 0x20000 with PASID 1; it is the only one in the iommufd file, and the first stall has STAG 0.
  expect([...new Set(seen)]).toEqual([
    'not read yet: DEVICE 2 PASID 1 at 0x2_0000 (group 0, last of it; wants write)',
    'cookie 1: DEVICE 2 PASID 1 at 0x2_0000 (group 0, last of it; wants write)',
  ]);
  const end = session.platformAt(step);
  expect(end.inspect(end.scene([]).objects.find((o) => o.type === 'FAULT')!.id)!.facts).toEqual([]);
});

for (const d of Object.values(documents)) keepsPromises(d.title, () => d);
