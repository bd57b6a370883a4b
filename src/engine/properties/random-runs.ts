import fc from 'fast-check';
import type { Step } from '../document/index.ts';
import { addressesOf, BLOCK, devicesOf, HOT, hex, type Kind, type MachineForm } from './random-machine.ts';
import { type Chunk, chunk } from './random-steps.ts';

const MiB2 = '2MiB';

/** What comes before all else: every device attached, pages of both kinds of memory mapped and used. */
function beginning(m: MachineForm): Chunk {
  const { page, iovas, gpas } = addressesOf(m);
  return devicesOf(m).flatMap((d) => {
    const g = d.guest ? { guest: d.guest } : {};
    return [
      { do: 'guest.attach', device: d.name, domain: 'dma0', ...g },
      { do: 'vmm.map', gpa: hex(HOT), size: MiB2, ...g },
      ...iovas.map((iova, i) => ({
        do: 'guest.map',
        domain: 'dma0',
        iova: hex(iova),
        gpa: hex(gpas[i]!),
        size: hex(page),
        ...g,
      })),
      ...iovas.map((iova) => ({ do: 'device.dma', device: d.name, iova: hex(iova), ats: 'translated' })),
    ] as unknown as Step[];
  });
}

/** A whole run; it begins with what makes the rest worth anything. */
export function run(k: Kind, m: MachineForm, size: { min: number; max: number }): fc.Arbitrary<Chunk[]> {
  return fc.array(chunk(k, m), { minLength: size.min, maxLength: size.max }).map((c) => [beginning(m), ...c]);
}

/**
 * One of everything that sends an invalidation, in a fixed order, each with entries that need it: a rule that is broken
 * shows here at the latest.
 */
export function tour(k: Kind, m: MachineForm): Chunk[] {
  const { page, iovas, gpas } = addressesOf(m);
  const [first, second, third] = iovas.map(hex) as [string, string, string];
  const size = hex(page);
  const [d] = devicesOf(m);
  const device = d!.name;
  const g = d!.guest ? { guest: d!.guest } : {};
  const use = (iova: string, more: object = {}): object[] => [
    { do: 'device.dma', device, iova, ...more },
    { do: 'device.dma', device, iova, ats: 'translated', ...more },
  ];
  const map = (domain: string, iova: string, gpa: number, length = size): object => ({
    do: 'guest.map',
    domain,
    iova,
    gpa: hex(gpa),
    size: length,
    ...g,
  });
  const unmap = (domain: string, iova: string, length = size, flush = 'strict'): object => ({
    do: 'guest.unmap',
    domain,
    iova,
    size: length,
    flush,
    ...g,
  });
  const attach = (domain: string, more: object = {}): object => ({ do: 'guest.attach', device, domain, ...more, ...g });
  const hot = { gpa: hex(HOT), size: MiB2, ...g };
  const chunks: object[][] = [
    [...use(first), unmap('dma0', first), map('dma0', first, gpas[1]!)],
    [...use(first), unmap('dma0', first, size, 'queued'), { do: 'guest.flush', ...g }],
    [map('dma0', first, gpas[0]!), ...use(first), ...use(second), unmap('dma0', first, hex(2 * page))],
    // Two pages that no aligned range of two covers.
    [map('dma0', second, gpas[1]!), ...use(second), ...use(third), unmap('dma0', second, hex(2 * page))],
    [map('dma0', third, gpas[2]!), ...use(third)],
    [...use(third), { do: 'vmm.unmap', ...hot }],
    [{ do: 'vmm.map', ...hot }, ...use(third)],
    // A table under a region is freed, then a block stands there.
    [map('dma0', hex(BLOCK), gpas[1]!, MiB2), ...use(hex(BLOCK + 0x3000)), unmap('dma0', hex(BLOCK), MiB2)],
    [map('dma0', hex(BLOCK), gpas[0]!, MiB2), ...use(hex(BLOCK + 0x3000))],
    [map('dma1', first, gpas[1]!), attach('dma1'), ...use(first)],
    [attach('dma0'), ...use(third)],
    [attach('dma1', { pasid: 2 }), ...use(first, { pasid: 2 }), { do: 'guest.detach', device, pasid: 2, ...g }],
    [{ do: 'guest.bind', device, process: 'app0', ...g }, map('app0', first, gpas[0]!), ...use(first, { pasid: 1 })],
    [unmap('app0', first)],
    [
      map('app0', second, gpas[1]!),
      ...use(second, { pasid: 1 }),
      { do: 'guest.unbind', device, process: 'app0', ...g },
    ],
    // The process that has gone keeps its PASID while it lives; the next one has the other.
    [
      { do: 'guest.bind', device, process: 'app1', pasid: 2, ...g },
      map('app1', first, gpas[0]!),
      map('app1', second, gpas[1]!),
      ...use(first, { pasid: 2 }),
      ...use(second, { pasid: 2 }),
      unmap('app1', first, hex(2 * page)),
    ],
    [map('app1', first, gpas[0]!), ...use(first, { pasid: 2 })],
    [{ do: 'guest.exit', process: 'app1', ...g }],
    [...use(third), { do: 'device.reset', device }, ...use(third)],
    [...use(third), { do: 'guest.detach', device, ...g }, attach('bypass'), ...use(hex(gpas[0]!))],
    [attach('blocked'), attach('dma0'), ...use(third)],
    [{ do: 'vmm.unplug', device, ...g }, { do: 'vmm.plug', device, ...g }, attach('dma0'), ...use(third)],
    [{ do: 'guest.invalidate', command: k.widest, ...g }],
    [{ do: 'guest.boot', ...g }, attach('dma0'), ...use(third)],
  ];
  return [beginning(m), ...(chunks as unknown as Chunk[])];
}
