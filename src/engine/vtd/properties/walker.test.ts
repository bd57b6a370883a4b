import fc from 'fast-check';
import { describe, it } from 'vitest';
import { Injector, runToEnd } from '../../machine/index.ts';
import { PciDevice } from '../../pci/index.ts';
import { emptyMemory } from '../../properties/empty-memory.ts';
import { type Compared, changedWords, TwoWalkers } from '../../properties/two-walkers.ts';
import { Trace } from '../../trace/index.ts';
import { physicalFeatures, VtdUnit } from '../hardware/index.ts';
import { answerText, engineAnswer, plainAnswer } from './engine-answer.ts';
import type { PlainRequest } from './plain-walker.ts';
import { forms } from './random-forms.ts';
import { type Form, TableWriter } from './random-tables.ts';
import { walkerCases } from './regressions.ts';

/** The engine's translation with nothing cached against the plain walker, on tables that work and tables that do not. */

interface Case {
  readonly form: Form;
  readonly features: Readonly<Record<string, boolean | number>>;
  readonly write: boolean;
  readonly exec: boolean;
  readonly priv: boolean;
  readonly type: PlainRequest['type'];
  readonly off?: boolean;
  /** Bits of RTADDR_REG that are not what they should be. */
  readonly root?: bigint;
}

function compared(c: Case): Compared {
  const memory = emptyMemory(33);
  const w = new TableWriter(memory, c.form);
  const trace = new Trace();
  const { rid, pasid } = c.form;
  const device = new PciDevice({ name: 'd', rid, vrid: 8, pasidBits: 20, ats: true, pri: false });
  device.pasidEnabled = true;
  device.atsEnabled = true;
  const unit = new VtdUnit(memory, physicalFeatures(c.features), [device], trace, new Injector(trace));
  runToEnd(unit.writeRegister('RTADDR_REG', w.root ^ (c.root ?? 0n)));
  runToEnd(unit.writeRegister('GCMD_REG', 0x4000_0000n));
  if (!c.off) runToEnd(unit.writeRegister('GCMD_REG', 0x8000_0000n));
  const before = new Map(w.words.map((at) => [at, memory.readWord(at)]));
  const q: PlainRequest = {
    rid,
    pasid: c.type === 'translated' ? -1 : pasid,
    address: c.type === 'request' ? w.iova & ~0xfffn : w.iova,
    write: c.write,
    // Privilege and leave to execute come with the PASID.
    exec: c.type === 'untranslated' && pasid >= 0 && c.exec && !c.write,
    priv: c.type === 'untranslated' && pasid >= 0 && c.priv,
    type: c.type,
  };
  const updates = (now: ReadonlyMap<number, bigint>): string => changedWords(before, now);
  const written = new Map<number, bigint>();
  const plain = { answer: answerText(plainAnswer(unit, memory, q, written), q), updates: updates(written) };
  const a = engineAnswer(unit, device, q);
  const after = new Map([...w.words, ...written.keys()].map((at) => [at, memory.readWord(at)]));
  const engine = { answer: answerText(a, q), updates: updates(after) };
  const record = a.kind === 'refused' && a.record ? Number((a.record[1] >> 32n) & 0xffn).toString(16) : '';
  return { engine, plain, kind: a.kind === 'refused' ? `refused ${record || 'silent'}` : `${a.kind} ${c.type}` };
}

const walkers = new TwoWalkers(compared, 2500);

/** Mostly there: what a missing feature forbids ends early. */
const most = fc.nat({ max: 11 }).map((n) => n !== 0);
const features = fc.record({
  haw: fc.constantFrom(52, 52, 46, 39, 36),
  SAGAW: fc.constantFrom(14, 14, 14, 14, 4, 8),
  MGAW: fc.constantFrom(57, 57, 57, 48, 39),
  SSLPS: fc.constantFrom(3, 3, 3, 1, 0),
  ND: fc.constantFrom(6, 6, 6, 2, 0),
  FS1GP: most,
  FS5LP: most,
  DT: most,
  PT: most,
  SC: most,
  NEST: most,
  PRS: most,
  ERS: most,
  SRS: most,
  EAFS: most,
  PASID: most,
  SMTS: most,
  SSADS: most,
  SSTS: most,
  FSTS: most,
  SMPWCS: most,
  RPS: most,
  ADMS: fc.boolean(),
  RPRIVS: fc.boolean(),
});
const all = {
  haw: 46,
  SAGAW: 14,
  ERS: true,
  RPRIVS: true,
};

const cases = (
  mode: fc.Arbitrary<0 | 1 | 2 | 3>,
  f: fc.Arbitrary<Readonly<Record<string, boolean | number>>>,
  type: fc.Arbitrary<PlainRequest['type']>,
): fc.Arbitrary<Case> =>
  fc.record({
    form: forms(mode),
    features: f,
    write: fc.boolean(),
    exec: fc.constantFrom(false, false, true),
    priv: fc.boolean(),
    type,
    off: fc.nat({ max: 49 }).map((n) => n === 0),
  });

const always = <T>(...x: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...x);
const stages = ['71', '72', '74', '75', '76', '77', '79', '7a', '80', '81', '82', '84', '85', '86', '87', '90'];
const tables = ['39', '3a', '41', '42', '45', '51', '52', '59', '5a', '5b', '5c', '5d'];
const refusals = (list: readonly string[]): string[] => list.map((x) => `refused ${x}`);

describe('the engine and a plain walker agree', () => {
  it('where they once differed, and on every flipped bit of small tables', () => {
    const reads = ['8', '30', '38', '40', '50', '58', '70', '73', '78', '7b'];
    walkers.on(walkerCases, [
      'reaches untranslated',
      'updates',
      ...refusals([...reads, ...tables.filter((x) => x !== '5c'), '83']),
    ]);
  }, 600_000);

  it('accesses in scalable mode', () => {
    walkers.agree(cases(always(1), always(all), always('untranslated')), [
      'reaches untranslated',
      'refused silent',
      'updates',
      ...refusals([...stages, '7c', ...tables]),
    ]);
  }, 600_000);

  it('units that lack something', () => {
    walkers.agree(cases(always(1, 1, 1, 1, 1, 0, 2, 3), features, always('untranslated', 'untranslated', 'request')), [
      'reaches untranslated',
      ...refusals(['30', '33', '42', '5a', '5b', '72', '7a', '84']),
    ]);
  }, 600_000);

  it('legacy mode', () => {
    walkers.agree(cases(always(0), features, always('untranslated', 'untranslated', 'request', 'translated')), [
      'reaches untranslated',
      'reaches request',
      'reaches translated',
      ...refusals(['1', '2', '3', '4', '5', '6', 'a', 'b', 'c', 'd', 'e', '31']),
    ]);
  }, 600_000);

  it('translation requests and translated requests', () => {
    walkers.agree(cases(always(1), always(all), always('request', 'request', 'request', 'translated')), [
      'reaches request',
      'nothing request',
      'reaches translated',
      'updates',
      ...refusals(['44', '5a', '7a', '7c', '87']),
    ]);
  }, 600_000);
});
