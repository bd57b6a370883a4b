import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadVendors } from '../machine/vendors.ts';
import { parseDocument } from './authoring.ts';
import { Session } from './index.ts';

await loadVendors(['smmuv3']);

/** A bare SMMU whose tables, queues and registers hold anything at all, and devices that use it. */
const hex = (n: number | bigint): string => `0x${n.toString(16)}`;
const word = fc.oneof(
  { weight: 3, arbitrary: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        fc.constantFrom(0x10000n, 0x11000n, 0x12000n, 0x13000n),
        fc.constantFrom(1n, 3n, 0xbn, 0xfn, 0xdn, 0xf47n, 0x7ffn, 0x9n),
      )
      .map(([a, b]) => a | b),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      0n,
      0xf800_0000_0001_000fn,
      0x0001_e204_c000_3510n,
      0x044d_3590_0000_0001n,
      0x46n,
      0x0001_0000_0000_0012n,
    ),
  },
);
const reg = fc.constantFrom(
  'CR0',
  'CR2',
  'GBPA',
  'IRQ_CTRL',
  'STRTAB_BASE',
  'STRTAB_BASE_CFG',
  'CMDQ_BASE',
  'CMDQ_PROD',
  'CMDQ_CONS',
  'EVENTQ_BASE',
  'EVENTQ_PROD',
  'EVENTQ_CONS',
  'GERRORN',
);
const value = fc.oneof(
  word.map(hex),
  fc.constantFrom('0x10000', '0x1000a', '0x11005', '0x12004', '0x5', '0x10210', '0x1d', '0xd', '0x8', '0xffffffff'),
);

const step: fc.Arbitrary<Record<string, unknown>> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('memory.write'),
      space: fc.constant('host'),
      at: fc.nat({ max: 0x7ff }).map((n) => hex(0x10000 + n * 8)),
      u64: fc.array(word.map(hex), { minLength: 1, maxLength: 16 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('register.write'), iommu: fc.constant('physical'), reg, value }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('device.dma'),
      device: fc.constantFrom('a', 'b'),
      iova: word.map(hex),
      access: fc.constantFrom('read', 'write'),
      length: fc.constantFrom(4, 8192),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('device.dma'),
      device: fc.constantFrom('a', 'b'),
      iova: word.map(hex),
      pasid: fc.nat({ max: 70000 }),
      ats: fc.constant('translated'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('device.ats'), device: fc.constantFrom('a', 'b'), iova: word.map(hex) }),
  },
);

describe('a bare SMMU with anything in memory and registers', () => {
  it('never throws and never hangs', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 40 }), (steps) => {
        const registers = [
          ['STRTAB_BASE', '0x10000'],
          ['STRTAB_BASE_CFG', '0x6'],
          ['CMDQ_BASE', '0x12004'],
          ['EVENTQ_BASE', '0x13004'],
          ['CR0', '0x1d'],
        ];
        const text = JSON.stringify({
          format: 'iommuscope/1',
          title: 'random',
          platform: { iommu: 'smmuv3', memory: '256MiB' },
          setup: 'bare',
          devices: [
            { name: 'a', rid: '0000:00:00.0' },
            { name: 'b', rid: '0000:00:01.0' },
          ],
          steps: [
            ...registers.map(([r, v]) => ({ do: 'register.write', iommu: 'physical', reg: r, value: v })),
            ...steps,
          ],
        });
        const parsed = parseDocument(text);
        if (!parsed.ok) throw new Error(`${parsed.error.path}: ${parsed.error.message}`);
        const session = new Session(parsed.document);
        session.runAll();
        for (const [i, r] of session.steps.entries())
          expect(r.crash, `step ${i} ${JSON.stringify(r.step)}`).toBeUndefined();
        const p = session.platformAt(session.steps.length - 1);
        for (const o of p.scene(p.hazards()).objects) p.inspect(o.id);
      }),
      { numRuns: Number(process.env['IOMMUSCOPE_RUNS'] ?? 150) },
    );
  }, 120_000);
});
