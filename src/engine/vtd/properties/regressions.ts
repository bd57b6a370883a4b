import type { Property } from '../../properties/random-machine.ts';
import { everyBit } from '../../properties/two-walkers.ts';
import type { Form } from './random-tables.ts';

/**
 * Inputs that once failed, by property. Each property runs its own first, so that what was settled stays settled. A
 * counterexample of fast-check is put here as it was printed.
 */
export const regressions: Readonly<Record<Property, readonly (readonly unknown[])[]>> = {
  guests: [],
  obeys: [],
  deviations: [],
  replay: [],
};

const nested: Form = {
  mode: 1,
  type: 3,
  rid: 0x3b90,
  pasid: 0x47,
  ridPasid: 0,
  ridPriv: false,
  pdts: 0,
  did: 5,
  fsLevels: 4,
  ssLevels: 3,
  fsLeaf: 1,
  ssLeaf: 1,
  tableLeaf: 2,
  offset: 0x4000_0000n,
  low: 0x7f00_1234_5678n,
  top: 'fits',
  data: 'memory',
  contextFlags: 0b1110,
  directoryFpd: false,
  fpd: false,
  ssee: false,
  ssade: true,
  pwsnp: true,
  pgsnp: false,
  sre: true,
  ere: false,
  wpe: true,
  nxe: false,
  smep: false,
  eafe: true,
  fsLeafBits: 7n,
  fsTableBits: 7n,
  ssLeafBits: 3n,
  ssTableBits: 3n,
  underBits: 3n,
  damage: [],
};

const features: Readonly<Record<string, boolean | number>> = { SAGAW: 14, haw: 46 };
const access = { write: true, exec: false, priv: false, type: 'untranslated' as const };
/** Tables on which the two walkers have differed, and each single flipped bit of small ones of each kind. */
export const walkerCases: readonly {
  readonly form: Form;
  readonly features: Readonly<Record<string, boolean | number>>;
  readonly write: boolean;
  readonly exec: boolean;
  readonly priv: boolean;
  readonly type: 'untranslated' | 'request' | 'translated';
  readonly root?: bigint;
}[] = [
  // A root table that is not in memory, a mode that does not exist.
  { form: nested, features, root: 1n << 40n },
  { form: { ...nested, mode: 2 as const }, features },
  // Supervisor requests without SRE.
  { form: { ...nested, sre: false }, features, priv: true },
  // An update that neither stage allows: PWSNP is looked at before the second stage's right to write.
  { form: { ...nested, pwsnp: false, ssade: false, underBits: 1n }, features },
  { form: { ...nested, mode: 0 as const, type: 0, pasid: -1 }, features, root: 1n << 40n },
  ...everyBit<Form>(nested, 22).map((form) => ({ form, features })),
  ...everyBit<Form>({ ...nested, type: 1, fsLevels: 5 as const, pasid: -1 }, 13).map((form) => ({ form, features })),
  ...everyBit<Form>({ ...nested, type: 2, ssLevels: 5 as const, ssLeaf: 2 as const }, 12).map((form) => ({
    form,
    features,
  })),
  ...everyBit<Form>({ ...nested, type: 4 }, 9).map((form) => ({ form, features })),
  { form: { ...nested, type: 4, top: 'beyond' as const }, features },
  ...everyBit<Form>({ ...nested, mode: 0 as const, type: 0, pasid: -1, ssLevels: 4 as const }, 8).map((form) => ({
    form,
    features,
  })),
].map((c) => ({ ...access, ...c }));
