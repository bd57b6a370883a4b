import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadVendors } from '../machine/vendors.ts';
import { parseDocument } from './authoring.ts';
import { Session } from './index.ts';
import type { Step } from './operations.ts';

await loadVendors(['smmuv3']);

/**
 * Whatever a person puts into tables, queues and registers of a running machine, and whatever is done then: the engine
 * neither throws nor hangs. A throw would show as `crash` of a step.
 */
const devices = [
  { name: 'nic0', rid: '0000:01:00.0' },
  { name: 'gpu0', rid: '0000:02:00.0', ats: false },
];

const base = 0x4000_0000;
// The guest's own queues, stream table, context descriptors and page tables lie from here on.
const tables = 0x5000_0000;

const word = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
/** Words that look like something: a plausible descriptor, entry or command with some bits flipped. */
const lively = fc.oneof(
  word,
  fc
    .tuple(
      fc.constantFrom(
        0x50201003n,
        0x40200f47n,
        0x40000f45n,
        0x5021000bn,
        0x0001e204c0003510n,
        0x100000d6n,
        0x0001000000000012n,
        0x0000000800000003n,
      ),
      word,
    )
    .map(([a, b]) => a ^ (b & (b >> 7n) & (b >> 13n))),
  fc.constantFrom(0n, (1n << 64n) - 1n),
);

const hex = (n: number | bigint): string => `0x${n.toString(16)}`;
const device = fc.constantFrom('nic0', 'gpu0');
const domain = fc.constantFrom('dma0', 'dma1');
const iova = fc.constantFrom(0x10000, 0x11000, 0x1ff000, 0x200000, 0x3f_ffff_f000, 0x8000_0000_0000).map(hex);
const size = fc.constantFrom('4KiB', '8KiB', '2MiB', '12KiB');
const reg = fc.constantFrom(
  'CR0',
  'CMDQ_BASE',
  'CMDQ_PROD',
  'CMDQ_CONS',
  'EVENTQ_BASE',
  'EVENTQ_PROD',
  'EVENTQ_CONS',
  'STRTAB_BASE',
  'STRTAB_BASE_CFG',
  'GERRORN',
  'GBPA',
  'IRQ_CTRL',
);

const step: fc.Arbitrary<Record<string, unknown>> = fc.oneof(
  fc.record({
    do: fc.constant('memory.write'),
    space: fc.constant('guest'),
    at: fc.nat({ max: 0x9000 }).map((n) => hex(tables + 0x200000 + (n - (n % 8)))),
    u64: fc.array(lively.map(hex), { minLength: 1, maxLength: 8 }),
  }),
  fc.record({
    do: fc.constant('memory.write'),
    space: fc.constant('guest'),
    at: fc.nat({ max: 0x40 }).map((n) => hex(tables + n * 8)),
    u64: fc.array(lively.map(hex), { minLength: 1, maxLength: 8 }),
  }),
  fc.record({
    do: fc.constant('memory.write'),
    space: fc.constant('host'),
    at: fc.nat({ max: 0x300 }).map((n) => hex(0x1000_0000 + n * 0x1000)),
    u64: fc.array(lively.map(hex), { minLength: 1, maxLength: 8 }),
  }),
  fc.record({
    do: fc.constant('register.write'),
    iommu: fc.constantFrom('physical', 'virtual'),
    reg,
    value: lively.map((v) => hex(v & 0xffffffffn)),
  }),
  fc.record({
    do: fc.constant('guest.invalidate'),
    bytes: fc
      .uint8Array({ minLength: 16, maxLength: 16 })
      .map((b) => [...b].map((x) => x.toString(16).padStart(2, '0')).join('')),
  }),
  fc.record({
    do: fc.constant('guest.invalidate'),
    command: fc.record({
      name: fc.constantFrom('CFGI_STE', 'CFGI_CD', 'ATC_INV'),
      SID: fc.constantFrom('0x8', '0x10', '0x99'),
    }),
  }),
  fc.record({
    do: fc.constant('guest.attach'),
    device,
    domain: fc.oneof(domain, fc.constantFrom('bypass', 'blocked')),
  }),
  fc.record({ do: fc.constant('guest.detach'), device }),
  fc.record({
    do: fc.constant('guest.map'),
    domain,
    iova,
    gpa: fc.constantFrom(hex(base + 0x200000), hex(0x9000_0000), '0xfffffffff000'),
    size,
  }),
  fc.record({ do: fc.constant('guest.unmap'), domain, iova, size, flush: fc.constantFrom('strict', 'queued', 'none') }),
  fc.record({ do: fc.constant('guest.flush') }),
  fc.record({
    do: fc.constant('device.dma'),
    device,
    iova: fc.oneof(iova, word.map(hex)),
    access: fc.constantFrom('read', 'write'),
    ats: fc.constantFrom('translated', 'untranslated'),
  }),
  fc.record({ do: fc.constant('device.dma'), device, iova, pasid: fc.nat({ max: 3 }) }),
  fc.record({ do: fc.constant('device.ats'), device, iova }),
  fc.record({
    do: fc.constant('vmm.map'),
    gpa: fc.constantFrom('0x90000000', '0x90200000'),
    size: fc.constantFrom('4KiB', '2MiB'),
  }),
  fc.record({
    do: fc.constant('vmm.unmap'),
    gpa: fc.constantFrom('0x90000000', '0x40000000'),
    size: fc.constantFrom('4KiB', '2MiB', '1GiB'),
  }),
  fc.record({ do: fc.constantFrom('vmm.plug', 'vmm.unplug'), device }),
  fc.record({
    do: fc.constant('inject'),
    at: fc.constantFrom('guest.command', 'vmm.forward', 'host.command', 'atc.invalidation', 'event.record'),
    action: fc.constantFrom('drop', 'delay', 'reorder', 'corrupt'),
  }),
  fc.record({
    do: fc.constant('ioctl'),
    call: fc.constantFrom(
      'IOMMU_DESTROY',
      'IOMMU_IOAS_UNMAP',
      'IOMMU_HWPT_INVALIDATE',
      'IOMMU_VIOMMU_ALLOC',
      'IOMMU_VDEVICE_ALLOC',
      'IOMMU_HWPT_ALLOC',
    ),
    in: fc.record({
      id: fc.nat({ max: 12 }),
      hwpt_id: fc.nat({ max: 12 }),
      dev_id: fc.nat({ max: 12 }),
      viommu_id: fc.nat({ max: 12 }),
    }),
  }),
);

const document = (steps: readonly unknown[]): Session => {
  const text = JSON.stringify({
    format: 'iommuscope/1',
    title: 'random',
    platform: { iommu: 'smmuv3' },
    devices,
    steps,
  });
  const parsed = parseDocument(text);
  if (!parsed.ok) throw new Error(`${parsed.error.path}: ${parsed.error.message}`);
  return new Session(parsed.document);
};

const start: Step[] = [
  { do: 'guest.attach', device: 'nic0', domain: 'dma0' },
  { do: 'guest.map', domain: 'dma0', iova: '0x10000', gpa: '0x40200000', size: '8KiB' },
  { do: 'device.dma', device: 'nic0', iova: '0x10000', ats: 'translated' },
];

describe('a running machine with anything in its tables, queues and registers', () => {
  it('never throws and never hangs', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 24 }), (steps) => {
        const session = document([...start, ...steps]);
        session.runAll();
        for (const [i, r] of session.steps.entries())
          expect(r.crash, `step ${i} ${JSON.stringify(r.step)}`).toBeUndefined();
        // What the page does with it must hold as well.
        const p = session.platformAt(session.steps.length - 1);
        for (const o of p.scene(p.hazards()).objects) {
          p.inspect(o.id);
          p.actionsFor(o.id);
        }
      }),
      { numRuns: Number(process.env['IOMMUSCOPE_RUNS'] ?? 60) },
    );
  }, 120_000);
});
