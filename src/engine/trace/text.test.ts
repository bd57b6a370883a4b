import { expect, it } from 'vitest';
import type { TraceEvent } from './events.ts';
import { eventText } from './text.ts';

it('a fault that nobody is told of says so', () => {
  const fault: TraceEvent = {
    kind: 'fault',
    actor: 'iommu',
    at: 'hw.evtq',
    name: 'F_TRANSLATION',
    words: [0x10n],
    layout: 'smmuv3.evt.f_translation',
    recorded: false,
    text: 'F_TRANSLATION sid 0x8',
  };
  expect(eventText(fault)).toBe('F_TRANSLATION sid 0x8 (not recorded)');
  expect(eventText({ ...fault, recorded: true })).toBe('F_TRANSLATION sid 0x8');
});
