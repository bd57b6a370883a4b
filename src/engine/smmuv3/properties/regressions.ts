import type { Property } from '../../properties/random-machine.ts';
import { everyBit } from '../../properties/two-walkers.ts';
import { BIT } from '../../properties/words.ts';
import type { Form } from './random-tables.ts';

/**
 * Inputs that once failed, by property. Each property runs its own first, so that what was settled stays settled. A
 * counterexample of fast-check is put here as it was printed.
 */
export const regressions: Readonly<Record<Property, readonly (readonly unknown[])[]>> = {
  guests: [],
  obeys: [],
  deviations: [
    // An ASID that comes back on a PASID whose CD nobody has read yet: its old entries are hazards already.
    [
      [
        [{ do: 'guest.attach', device: 'nic0', domain: 'dma0' }],
        [
          { do: 'guest.bind', device: 'nic0', process: 'app0', pasid: 1 },
          { do: 'guest.map', domain: 'app0', iova: '0x10000', gpa: '0x40200000' },
          { do: 'device.dma', device: 'nic0', iova: '0x10000', pasid: 1 },
        ],
        [{ do: 'guest.unbind', device: 'nic0', process: 'app0' }],
        [{ do: 'guest.bind', device: 'nic0', process: 'app1', pasid: 2 }],
        [{ do: 'guest.map', domain: 'app1', iova: '0x10000', gpa: '0x40201000' }],
        [{ do: 'device.dma', device: 'nic0', iova: '0x10000', pasid: 2 }],
      ],
    ],
  ],
  replay: [],
};

const nested: Form = {
  config: 7,
  oas: 32,
  memoryBits: 32,
  offset: 0n,
  hostBase: BIT(31),
  sid: 0,
  splitLog2: 0,
  ssid: -1,
  cdMax: 0,
  cdFmt: 0,
  dss: 2,
  strw: 0,
  granule1: 12,
  bits1: 40,
  leaf1: 3,
  upper: false,
  ips: 0,
  granule2: 12,
  bits2: 32,
  start2: 1,
  leaf2: 1,
  ps: 0,
  low: 0n,
  topByte: -1,
  steFlags: 32,
  cdFlags: 0x300,
  eats: 0,
  s2fwb: false,
  had: 0,
  attr1: 0x440n,
  attr2: 0x7fcn,
  tables1: 0n,
  damage: [],
};
const stage1: Form = { ...nested, config: 5 };
const features = { HTTU: 0, STALL_MODEL: 1, TERM_MODEL: true };
const access = { write: false, exec: false, priv: false, e2h: false };
/** Tables on which the two walkers have differed, and each single flipped bit of small ones of each kind. */
export const walkerCases: readonly {
  readonly form: Form;
  readonly features: Readonly<Record<string, boolean | number>>;
  readonly write: boolean;
  readonly exec: boolean;
  readonly priv: boolean;
  readonly e2h: boolean;
}[] = [
  // The reserved CD table format counts as linear, also without two-level tables.
  { form: { ...nested, cdMax: 1, cdFmt: 3 }, features: { ...features, CD2L: false } },
  // EL2 without E2H has no ASID that could be too large.
  ...everyBit<Form>({ ...stage1, strw: 2 }, 4).map((form) => ({ form, features: { ...features, ASID16: false } })),
  // Both halves off: the endianness of the tables does not count.
  ...everyBit<Form>({ ...stage1, upper: true }, 14).map((form) => ({
    form: { ...form, damage: [...form.damage, { ...form.damage[0]!, how: 'flip' as const, a: 15 }] },
    features,
  })),
  // No substreams at all: S1CDMax is ignored.
  { form: { ...nested, cdMax: 16, cdFmt: 0 }, features: { ...features, SSIDSIZE: 0 } },
  ...everyBit<Form>(nested, 30).map((form) => ({ form, features })),
  ...everyBit<Form>({ ...stage1, cdMax: 12, cdFmt: 1, ssid: 70 }, 18).map((form) => ({ form, features })),
  ...everyBit<Form>(
    { ...nested, config: 6, oas: 44, memoryBits: 33, granule2: 16, bits2: 43, start2: 1, ps: 4 },
    10,
  ).map((form) => ({ form, features })),
  ...everyBit<Form>({ ...nested, splitLog2: 8, granule1: 14, granule2: 14, start2: 2 }, 24).map((form) => ({
    form,
    features,
  })),
].map((c) => ({ ...access, ...c }));
