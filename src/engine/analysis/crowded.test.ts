import { expect, it } from 'vitest';
import type { TraceEvent } from '../trace/index.ts';
import { crowdedAt } from './crowded.ts';

const events = (kinds: string): TraceEvent[] =>
  [...kinds].map((k) => ({ kind: k === 'c' ? 'object.create' : k === 'd' ? 'object.destroy' : 'note' }) as TraceEvent);

it('a step is fullest after what it makes and before what it destroys', () => {
  expect(crowdedAt(events('.c.c.d.'))).toBe(4);
  expect(crowdedAt(events('.d.c.'))).toBeNull();
  expect(crowdedAt(events('d.c.d'))).toBe(3);
  expect(crowdedAt(events('...'))).toBeNull();
});
