import fc from 'fast-check';
import { describe, it } from 'vitest';
import { Injector, runToEnd } from '../../machine/index.ts';
import { PciDevice } from '../../pci/index.ts';
import { emptyMemory } from '../../properties/empty-memory.ts';
import { type Compared, changedWords, TwoWalkers } from '../../properties/two-walkers.ts';
import { Trace } from '../../trace/index.ts';
import { physicalFeatures, Smmu } from '../hardware/index.ts';
import { answerText, engineAnswer, plainAnswer } from './engine-answer.ts';
import { forms, type Limits } from './random-forms.ts';
import { type Form, TableWriter } from './random-tables.ts';
import { walkerCases } from './regressions.ts';

/** The engine's translation with nothing cached against the plain walker, on tables that work and tables that do not. */

const EVENTS = 0x4000_0000;

interface Case {
  readonly form: Form;
  readonly features: Readonly<Record<string, boolean | number>>;
  readonly write: boolean;
  readonly exec: boolean;
  readonly priv: boolean;
  readonly e2h: boolean;
}

function compared(c: Case): Compared {
  const memory = emptyMemory(c.form.memoryBits);
  const w = new TableWriter(memory, c.form);
  const trace = new Trace();
  const device = new PciDevice({
    name: 'd',
    rid: c.form.sid,
    vrid: 8,
    pasidBits: 20,
    ats: true,
    pri: false,
    stall: true,
  });
  const smmu = new Smmu(
    memory,
    physicalFeatures({ ...c.features, OAS: c.form.oas }),
    [device],
    trace,
    new Injector(trace),
  );
  const registers = {
    STRTAB_BASE: w.strtabBase,
    STRTAB_BASE_CFG: w.strtabCfg,
    EVENTQ_BASE: BigInt(EVENTS) | 3n,
    CR2: c.e2h ? 3n : 2n,
    CR0: 0x1dn,
  };
  for (const [name, value] of Object.entries(registers)) runToEnd(smmu.writeRegister(name, value));
  const before = new Map(w.words.map((at) => [at, memory.readWord(at)]));
  const q = {
    sid: c.form.sid,
    ssid: c.form.ssid,
    address: w.va,
    write: c.write,
    exec: c.exec && !c.write,
    priv: c.priv,
  };

  const updates = (now: ReadonlyMap<number, bigint>): string => changedWords(before, now);
  const written = new Map<number, bigint>();
  const plain = { answer: answerText(plainAnswer(smmu, memory, q, written)), updates: updates(written) };
  const a = engineAnswer(smmu, memory, device, q);
  const after = new Map(w.words.map((at) => [at, memory.readWord(at)]));
  const event = a.kind === 'reaches' || !a.record ? 'silent' : Number(a.record[0]! & 0xffn).toString(16);
  const kind = a.kind === 'reaches' ? a.kind : `${a.kind} ${event}`;
  return { engine: { answer: answerText(a), updates: updates(after) }, plain, kind };
}

const cases = (l: Limits, features: fc.Arbitrary<Record<string, boolean | number>>): fc.Arbitrary<Case> =>
  fc.record({
    form: forms(l),
    features,
    write: fc.boolean(),
    exec: fc.constantFrom(false, false, false, true),
    priv: fc.boolean(),
    e2h: fc.boolean(),
  });

const walkers = new TwoWalkers(compared, 1500);

const features = (f: Record<string, fc.Arbitrary<boolean | number>>): fc.Arbitrary<Record<string, boolean | number>> =>
  fc.record(f) as never;
/** Mostly there: what a feature forbids ends early. */
const yesNo = fc.constantFrom(true, true, true, true, false);
const fixed = { HTTU: fc.constant(0), STALL_MODEL: fc.constant(1), TERM_MODEL: fc.constant(true) };
const varied = {
  ...fixed,
  FWB: fc.boolean(),
  XNX: yesNo,
  HAD: yesNo,
  HYP: yesNo,
  CD2L: yesNo,
  ASID16: yesNo,
  VMID16: yesNo,
  ATS: yesNo,
};
const usual = [
  'reaches',
  'abort 10',
  'abort 11',
  'abort 12',
  'abort 13',
  'abort silent',
  'abort 8',
  'abort a',
  'abort 4',
];

describe('the engine and a plain walker agree', () => {
  it('where they once differed, and on every flipped bit of small tables', () => {
    walkers.on(walkerCases, [...usual, 'abort b']);
  }, 600_000);

  const narrow = { oas: [32, 36, 40, 42, 44, 48], vax: false, httu: false, stall: false };

  it('4 KiB, 48 bits', () => {
    walkers.agree(cases({ ...narrow, granules: [12] }, features(varied)), [...usual, 'abort b']);
  }, 600_000);

  it('all granules', () => {
    walkers.agree(cases({ ...narrow, granules: [12, 14, 16] }, features(varied)), usual);
  }, 600_000);

  it('a granule that is not there, and stages that are not', () => {
    const less = {
      GRAN4K: yesNo,
      GRAN16K: yesNo,
      GRAN64K: fc.constant(true),
      S1P: yesNo,
      S2P: yesNo,
      STT: yesNo,
      ST_LEVEL: yesNo,
      SSIDSIZE: fc.constantFrom(0, 4, 16, 20),
      SIDSIZE: fc.constantFrom(8, 16),
    };
    walkers.agree(cases({ ...narrow, granules: [12, 14, 16] }, features({ ...varied, ...less })), usual);
  }, 600_000);

  it('52 bits', () => {
    walkers.agree(
      cases(
        { ...narrow, oas: [52, 52, 48], granules: [16, 16, 12, 14], vax: true },
        features({ ...varied, VAX: fc.constant(true) }),
      ),
      usual,
    );
  }, 600_000);

  it('faults that stall, faults that read zero', () => {
    const models = { STALL_MODEL: fc.constantFrom(0, 0, 0, 2), TERM_MODEL: fc.constantFrom(false, false, true) };
    walkers.agree(cases({ ...narrow, granules: [12], stall: true }, features({ ...varied, ...models })), [
      'reaches',
      'stall 10',
      'stall 13',
      'raz 10',
      'raz silent',
    ]);
  }, 600_000);

  it('descriptors that hardware updates', () => {
    walkers.agree(
      cases(
        { ...narrow, granules: [12, 16], httu: true },
        features({ ...varied, HTTU: fc.constantFrom(0, 1, 2, 2, 2) }),
      ),
      [...usual, 'updates'],
    );
  }, 600_000);
});
