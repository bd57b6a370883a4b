import fc from 'fast-check';
import type { Step } from '../document/index.ts';
import {
  addressesOf,
  BLOCK,
  type DeviceForm,
  devicesOf,
  HOT,
  hex,
  type Kind,
  type MachineForm,
  PASIDS,
} from './random-machine.ts';

const MiB2 = '2MiB';
export type Chunk = readonly Step[];

/**
 * One thing that happens, as one or several steps that belong together. All of it is what a correct guest and VMM may
 * do: whatever is wrong afterwards is the fault of a deviation, or of the engine.
 */
export function chunk(k: Kind, m: MachineForm): fc.Arbitrary<Chunk> {
  const modelled = (name: string): boolean => k.vendor.operations?.includes(name) ?? true;
  const { page, iovas, gpas } = addressesOf(m);
  const device = fc.constantFrom(...devicesOf(m));
  const iova = fc.constantFrom(...iovas).map(hex);
  const gpa = fc.constantFrom(...gpas).map(hex);
  const size = hex(page);
  const domain = fc.constantFrom('dma0', 'dma0', 'dma1');
  const process = fc.constantFrom('app0', 'app1');
  const pasid = fc.constantFrom(...PASIDS);
  const perm = fc.constantFrom('rw', 'rw', 'r');
  const access = fc.constantFrom('read', 'write');
  const guestOf = (d: DeviceForm): { guest?: string } => (d.guest ? { guest: d.guest } : {});
  const list: { weight: number; does: readonly string[]; arbitrary: fc.Arbitrary<readonly object[]> }[] = [];
  const add = (
    weight: number,
    does: string | readonly string[],
    arbitrary: fc.Arbitrary<object | readonly object[]>,
  ): void => {
    const names = typeof does === 'string' ? [does] : does;
    list.push({
      weight,
      does: names,
      arbitrary: arbitrary.map((x) => {
        const steps = (Array.isArray(x) ? x : [x]) as object[];
        return steps.map((s, i) => ('do' in s ? s : { do: names[Math.min(i, names.length - 1)], ...s }));
      }),
    });
  };
  add(
    4,
    'guest.attach',
    fc
      .record({ d: device, domain: fc.constantFrom('dma0', 'dma0', 'dma1', 'bypass', 'blocked') })
      .map(({ d, domain }) => ({ device: d.name, domain, ...guestOf(d) })),
  );
  add(
    1,
    'guest.detach',
    device.map((d) => ({ device: d.name, ...guestOf(d) })),
  );
  const mapped = fc.record({ d: device, domain, iova, gpa, perm }).map((r) => ({ ...r, size }));
  add(
    7,
    'guest.map',
    mapped.map(({ d, ...r }) => ({ ...r, ...guestOf(d) })),
  );
  add(
    2,
    'guest.map',
    fc
      .record({ d: device, domain, gpa: fc.constantFrom(gpas[0]!, HOT) })
      .map(({ d, domain, gpa }) => ({ domain, iova: hex(BLOCK), gpa: hex(gpa), size: MiB2, ...guestOf(d) })),
  );
  const unmapped = fc
    .record({
      d: device,
      domain,
      iova: fc.constantFrom(...iovas, BLOCK).map(hex),
      pages: fc.constantFrom(1, 1, 1, 1, 3),
    })
    .map(({ d, domain, iova, pages }) => ({
      domain,
      iova,
      size: iova === hex(BLOCK) ? MiB2 : hex(pages * page),
      ...guestOf(d),
    }));
  add(
    6,
    'guest.unmap',
    unmapped.map((u) => ({ ...u, flush: 'strict' })),
  );
  // What makes the rest worth anything: an address that is used and then goes.
  add(
    4,
    ['guest.map', 'device.dma', 'device.dma', 'guest.unmap'],
    fc.record({ m: mapped, d: device, access, ats: fc.boolean() }).map(({ m, d, access, ats }) => {
      const g = guestOf(d);
      const at = { domain: m.domain, iova: m.iova, size };
      return [
        { ...at, gpa: m.gpa, ...g },
        { device: d.name, iova: m.iova, access },
        { device: d.name, iova: m.iova, access, ats: ats ? 'translated' : 'untranslated' },
        { ...at, ...g },
      ];
    }),
  );
  // What a lazy guest puts off is stale until it flushes; it does not use the address again before.
  add(
    2,
    ['guest.unmap', 'guest.flush'],
    unmapped.map((u) => [{ ...u, flush: 'queued' }, { ...(u.guest ? { guest: u.guest } : {}) }]),
  );
  const reach = fc.constantFrom(...iovas, ...iovas, BLOCK, BLOCK + 0x3000, gpas[0]!);
  add(
    10,
    'device.dma',
    fc
      .record({ d: device, iova: reach.map(hex), access, ats: fc.constantFrom('untranslated', 'translated') })
      .map(({ d, ...r }) => ({ device: d.name, ...r })),
  );
  add(
    3,
    'device.dma',
    fc
      .record({ d: device, pasid, iova: reach.map(hex), access, ats: fc.constantFrom('untranslated', 'translated') })
      .map(({ d, ...r }) => ({ device: d.name, ...r })),
  );
  add(
    2,
    'device.ats',
    fc.record({ d: device, iova: reach.map(hex), access }).map(({ d, ...r }) => ({ device: d.name, ...r })),
  );
  add(
    2,
    ['device.dma', 'device.dma', 'vmm.unmap', 'vmm.map'],
    fc.record({ d: device, again: fc.boolean() }).map(({ d, again }) => {
      const hot = { gpa: hex(HOT), size: MiB2, ...guestOf(d) };
      const at = { device: d.name, iova: hex(iovas[2]!) };
      const steps: object[] = [at, { ...at, ats: 'translated' }, { do: 'vmm.unmap', ...hot }];
      return again ? [...steps, { do: 'vmm.map', ...hot }] : steps;
    }),
  );
  // A table of pages where a block was or will be: its removal must reach the walk caches.
  add(
    2,
    ['guest.unmap', 'guest.map', 'device.dma', 'device.dma', 'guest.unmap', 'guest.map'],
    fc.record({ d: device, ats: fc.boolean() }).map(({ d, ats }) => {
      const block = { domain: 'dma0', iova: hex(BLOCK), size: MiB2, ...guestOf(d) };
      const use = { device: d.name, iova: hex(BLOCK + 0x3000) };
      return [
        block,
        { ...block, gpa: hex(gpas[1]!) },
        use,
        { ...use, ats: ats ? 'translated' : 'untranslated' },
        block,
        { ...block, gpa: '0x40200000' },
      ];
    }),
  );
  add(
    1,
    'vmm.unmap',
    device.map((d) => ({ gpa: hex(HOT), size: MiB2, ...guestOf(d) })),
  );
  add(
    1,
    'vmm.map',
    device.map((d) => ({ gpa: hex(HOT), size: MiB2, ...guestOf(d) })),
  );
  add(
    1,
    'vmm.unplug',
    device.map((d) => ({ device: d.name, ...guestOf(d) })),
  );
  add(
    1,
    'vmm.plug',
    device.map((d) => ({ device: d.name, ...guestOf(d) })),
  );
  add(
    1,
    'guest.invalidate',
    fc
      .record({
        d: device,
        command: fc.constantFrom(...k.commands),
      })
      .map(({ d, command }) => ({ command, ...guestOf(d) })),
  );
  if (modelled('guest.bind')) {
    add(
      2,
      'guest.attach',
      fc.record({ d: device, domain, pasid }).map(({ d, ...r }) => ({ device: d.name, ...r, ...guestOf(d) })),
    );
    add(
      1,
      'guest.detach',
      fc.record({ d: device, pasid }).map(({ d, pasid }) => ({ device: d.name, pasid, ...guestOf(d) })),
    );
    add(
      2,
      'guest.bind',
      fc.record({ d: device, process }).map(({ d, process }) => ({ device: d.name, process, ...guestOf(d) })),
    );
    add(
      1,
      'guest.unbind',
      fc.record({ d: device, process }).map(({ d, process }) => ({ device: d.name, process, ...guestOf(d) })),
    );
    add(
      1,
      'guest.exit',
      fc.record({ d: device, process }).map(({ d, process }) => ({ process, ...guestOf(d) })),
    );
    add(
      3,
      'guest.map',
      fc
        .record({
          d: device,
          domain: process,
          iova,
          gpa,
          size: fc.constant(size),
          perm,
          present: fc.constantFrom(true, true, false),
        })
        .map(({ d, ...r }) => ({ ...r, ...guestOf(d) })),
    );
    add(
      3,
      'guest.unmap',
      fc
        .record({ d: device, domain: process, iova, size: fc.constant(size) })
        .map(({ d, ...r }) => ({ ...r, ...guestOf(d) })),
    );
  }
  if (modelled('guest.bind')) {
    // A process that a device uses; then its memory goes, or it ends, or the device lets go.
    add(
      5,
      ['guest.bind', 'guest.map', 'device.dma', 'device.dma'],
      fc
        .record({ d: device, process, iova, gpa, ats: fc.boolean(), end: fc.nat({ max: 2 }) })
        .map(({ d, process, iova, gpa, ats, end }) => {
          const g = guestOf(d);
          const use = { device: d.name, iova, pasid: 1 };
          const last = [
            { do: 'guest.unmap', domain: process, iova, size, ...g },
            { do: 'guest.unbind', device: d.name, process, ...g },
            { do: 'guest.exit', process, ...g },
          ][end]!;
          return [
            { device: d.name, process, ...g },
            { domain: process, iova, gpa, size, ...g },
            use,
            { ...use, ats: ats ? 'translated' : 'untranslated' },
            last,
          ];
        }),
    );
    // A domain on a PASID, used and taken away.
    add(
      3,
      ['guest.attach', 'device.dma', 'device.dma', 'guest.detach'],
      fc.record({ d: device, domain, pasid, iova, ats: fc.boolean() }).map(({ d, domain, pasid, iova, ats }) => {
        const use = { device: d.name, iova, pasid };
        const at = { device: d.name, pasid, ...guestOf(d) };
        return [{ ...at, domain }, use, { ...use, ats: ats ? 'translated' : 'untranslated' }, at];
      }),
    );
  }
  // From one domain to another, with translations of the first in use.
  add(
    3,
    ['guest.attach', 'device.dma', 'device.dma', 'guest.attach'],
    fc
      .record({ d: device, iova, ats: fc.boolean(), to: fc.constantFrom('dma1', 'dma1', 'bypass', 'blocked') })
      .map(({ d, iova, ats, to }) => {
        const at = { device: d.name, ...guestOf(d) };
        const use = { device: d.name, iova };
        return [
          { ...at, domain: 'dma0' },
          use,
          { ...use, ats: ats ? 'translated' : 'untranslated' },
          { ...at, domain: to },
        ];
      }),
  );
  if (modelled('device.pri'))
    add(
      2,
      'device.pri',
      fc
        .record({ d: device, pasid, iova, access, group: fc.nat({ max: 2 }), last: fc.boolean() })
        .map(({ d, ...r }) => ({ device: d.name, ...r })),
    );
  if (modelled('device.reset'))
    add(
      1,
      'device.reset',
      device.map((d) => ({ device: d.name })),
    );
  return fc.oneof(
    ...list
      .filter((x) => x.does.every(modelled))
      .map(({ weight, arbitrary }) => ({ weight, arbitrary: arbitrary as fc.Arbitrary<Chunk> })),
  );
}
