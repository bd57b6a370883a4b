import { expect, it } from 'vitest';
import type { Origin } from '../engine/analysis/index.ts';
import { Session } from '../engine/document/index.ts';
import { loadVendors } from '../engine/machine/vendors.ts';
import { indexOf } from '../engine/properties/indexed-runs.ts';
import { scenarios } from './index.ts';

await loadVendors(['smmuv3']);

it('why something is here leads to its event and on to what the step began with', async () => {
  const s = new Session(await scenarios.find((x) => x.id === 'smmuv3-unmap-without-atc-inv')!.load());
  s.runAll();
  const index = indexOf(s);
  const end = { step: 7, event: s.steps[7]!.eventCount };
  const kinds = (o: Origin | null): string[] => (o?.chain ?? []).map((l) => `${l.event.actor} ${l.event.kind}`);

  expect(kinds(index.originOf({ kind: 'row', at: 'hw.device.nic0', row: 1, place: end }))).toEqual([
    'device cache.fill',
    'device ats',
    'device dma',
  ]);
  // The last command that the host posted, from the guest's queue down.
  const slot = s.steps
    .flatMap((r) => r.events)
    .findLast((e) => e.kind === 'command.post' && e.command.name === 'ATC_INV');
  if (slot?.kind !== 'command.post') throw new Error('no ATC_INV');
  expect(kinds(index.originOf({ kind: 'slot', at: slot.at, index: slot.index, place: end }))).toEqual([
    'driver command.post',
    'driver command.rewrite',
    'vmm ioctl.enter',
    'vmm command.fetch',
    'guest command.post',
  ]);
  expect(index.originOf({ kind: 'object', id: 'kernel.obj.3', place: end })?.chain.at(0)?.event).toMatchObject({
    kind: 'object.create',
    id: 3,
  });
  const register = index.originOf({ kind: 'register', iommu: 'physical', reg: 'CR0', place: end });
  expect(register?.chain.at(0)?.event).toMatchObject({ kind: 'register.write', reg: 'CR0', value: 0x1fn });
  // Before it was filled there is nothing to lead to.
  expect(index.originOf({ kind: 'row', at: 'hw.device.nic0', row: 1, place: { step: 2, event: 1 } })).toBeNull();
});
