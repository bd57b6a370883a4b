/**
 * Whether an STE or a CD is legal, and on which SMMU: what no SMMU accepts, and what an ID register must say.
 * Source: Arm IHI 0070, 5.2 and 5.2.2 (STE), 5.4 and 5.4.2 (CD).
 */

import { type Field, getField, type Layout } from '../../engine/bits/index.ts';
import { addressSizeBits, type SmmuFeatures } from '../../engine/smmuv3/hardware/features.ts';
import { cdLayout, steLayout } from '../../engine/smmuv3/layout/index.ts';

/** A property that the SMMU must have for the record to be legal. */
export interface Need {
  /** `IDR0.CD2L = 1` */
  readonly text: string;
  /** Feature of a scenario document that gives it, with its value. */
  readonly feature?: readonly [string, boolean | number];
  met(f: SmmuFeatures): boolean;
}

export interface Breach {
  readonly fields: readonly string[];
  readonly text: string;
  /** Legal after all where this holds. */
  readonly need?: Need;
  /** The need only means that the field is ignored, which nobody relies on. */
  readonly ignored?: boolean;
}

type Get = (name: string) => number;

const needs = (text: string, met: (f: SmmuFeatures) => boolean, feature?: Need['feature']): Need => ({
  text,
  met,
  ...(feature ? { feature } : {}),
});
const oas = (bits: number): Need => {
  const size = addressSizeBits.find((b) => b >= bits) ?? 64;
  return needs(`IDR5.OAS of ${size} bits`, (f) => f.oas >= bits, size <= 52 ? ['OAS', size] : undefined);
};
const granuleNeed = (shift: number): Need => {
  const name = `GRAN${2 ** (shift - 10)}K`;
  return needs(`IDR5.${name} = 1`, (f) => f.granules.includes(shift), [name, true]);
};
const stalls = (text: string, met: (model: number) => boolean, model: number): Need =>
  needs(`IDR0.STALL_MODEL ${text}`, (f) => met(f.stallModel), ['STALL_MODEL', model]);
const httu = (level: number): Need => needs(`IDR0.HTTU >= ${level}`, (f) => f.httu >= level, ['HTTU', level]);

/** Bits that an address takes. */
const bitsOf = (v: bigint): number => (v === 0n ? 0 : v.toString(2).length);
const tg0 = [12, 16, 14, 0] as const;
const tg1 = [0, 14, 12, 16] as const;
/** Smallest output size with which stage 2 may start at the level of S2SL0 2. */
const sizeForSl0Two: Readonly<Record<number, number>> = { 12: 44, 14: 42, 16: 44 };

const fieldMaps = new Map<Layout, Map<string, Field>>();

/** Reads fields by name; quicker than a search for each, as dumps hold many entries. */
export function getter(layout: Layout, words: readonly bigint[]): (name: string) => bigint {
  let map = fieldMaps.get(layout);
  if (!map) fieldMaps.set(layout, (map = new Map(layout.fields.map((f) => [f.name, f]))));
  const fields = map;
  return (name) => {
    const f = fields.get(name)!;
    return words[f.word] === 0n ? 0n : getField(f, words);
  };
}

/** Everything that makes an STE illegal, unconditional or for lack of a feature. `event` of all is C_BAD_STE. */
export function steBreaches(words: readonly bigint[]): Breach[] {
  const big = getter(steLayout, words);
  const get: Get = (name) => Number(big(name));
  const out: Breach[] = [];
  const add = (fields: readonly string[], text: string, need?: Need, ignored = false): void => {
    out.push({ fields, text, ...(need ? { need } : {}), ...(ignored ? { ignored } : {}) });
  };
  if (get('V') === 0) {
    add(['V'], 'V is 0: the entry is not valid');
    return out;
  }
  const config = get('Config');
  if (config < 4) return out;
  const s1 = (config & 5) === 5;
  const s2 = (config & 6) === 6;
  const stallS2 = get('S2S') === 1;
  if (s1) steStage1(config, get, big, add);
  if (s2) steStage2(get, big, add);
  if (config !== 4) {
    const noAts = needs('IDR0.ATS = 0, where EATS is ignored', (f) => !f.ats);
    const eats = get('EATS');
    if (eats === 1 && s2 && stallS2)
      add(['EATS', 'S2S'], 'full ATS and stalling stage-2 faults exclude each other', noAts, true);
    if (eats === 2 && config !== 7)
      add(['EATS', 'Config'], 'split-stage ATS needs both stages (Config 7)', noAts, true);
    if (eats === 2 && config === 7 && stallS2)
      add(['EATS', 'S2S'], 'split-stage ATS and stalling stage-2 faults exclude each other', noAts, true);
    if (eats === 2 && config === 7)
      add(
        ['EATS'],
        'split-stage ATS',
        needs('IDR0.NS1ATS = 0', (f) => !f.ats || !f.ns1ats),
      );
    // An EL2 stream world has no VMID.
    const el2 = config === 5 && get('STRW') !== 0;
    if (get('S2VMID') > 0xff)
      add(
        ['S2VMID'],
        `S2VMID ${get('S2VMID')} has more than 8 bits`,
        needs('IDR0.VMID16 = 1', (f) => f.vmid16 || !f.s2p || (el2 && f.hyp), ['VMID16', true]),
      );
  }
  return out;
}

type Add = (fields: readonly string[], text: string, need?: Need, ignored?: boolean) => void;

function steStage1(config: number, get: Get, big: (n: string) => bigint, add: Add): void {
  add(
    ['Config'],
    'stage 1 translates',
    needs('IDR0.S1P = 1', (f) => f.s1p),
  );
  const max = get('S1CDMax');
  if (max > 0) {
    const ok = (f: SmmuFeatures): boolean => f.ssidBits === 0 || f.ssidBits >= max;
    if (max > 20)
      add(
        ['S1CDMax'],
        `S1CDMax ${max} is more than the 20 bits that a SubstreamID can have`,
        needs('IDR1.SSIDSIZE = 0, where S1CDMax is ignored', (f) => f.ssidBits === 0),
        true,
      );
    else add(['S1CDMax'], `S1CDMax ${max}`, needs(`IDR1.SSIDSIZE >= ${max}`, ok, ['SSIDSIZE', max]));
    const fmt = get('S1Fmt');
    if (fmt === 1 || fmt === 2)
      add(
        ['S1Fmt'],
        'a two-level CD table',
        needs('IDR0.CD2L = 1', (f) => f.cd2l || f.ssidBits === 0, ['CD2L', true]),
      );
  }
  if (get('S1STALLD') === 1)
    add(
      ['S1STALLD'],
      'S1STALLD is 1',
      stalls('= 0', (m) => m === 0, 0),
    );
  if (config === 5 && (get('STRW') & 1) === 1)
    add(
      ['STRW'],
      `STRW ${get('STRW')} is reserved`,
      needs('IDR0.HYP = 0, where STRW is ignored', (f) => !f.hyp),
      true,
    );
  const ptr = big('S1ContextPtr');
  if (bitsOf(ptr) > 32) add(['S1ContextPtr'], `S1ContextPtr of ${bitsOf(ptr)} bits`, oas(bitsOf(ptr)));
}

function steStage2(get: Get, big: (n: string) => bigint, add: Add): void {
  add(
    ['Config'],
    'stage 2 translates',
    needs('IDR0.S2P = 1', (f) => f.s2p),
  );
  const granule = tg0[get('S2TG')] as number;
  if (granule === 0) add(['S2TG'], 'S2TG 3 is reserved');
  else add(['S2TG'], `a ${2 ** (granule - 10)} KiB granule`, granuleNeed(granule));
  const t0sz = get('S2T0SZ');
  const bits = 64 - t0sz;
  if (t0sz < (granule === 16 ? 12 : 16))
    add(['S2T0SZ'], `S2T0SZ ${t0sz} gives ${bits} bits, more than stage 2 can translate`);
  else if (t0sz > (granule === 16 ? 47 : 48)) add(['S2T0SZ'], `S2T0SZ ${t0sz} leaves only ${bits} bits`);
  else if (t0sz > 39)
    add(
      ['S2T0SZ'],
      `S2T0SZ ${t0sz} leaves only ${bits} bits`,
      needs('IDR3.STT = 1', (f) => f.stt, ['STT', true]),
    );
  if (bits > 32) add(['S2T0SZ'], `an IPA space of ${bits} bits`, oas(bits));
  if (granule !== 0) {
    const sl0 = get('S2SL0');
    if (sl0 === 3) {
      if (granule === 12)
        add(
          ['S2SL0'],
          'S2SL0 3, a start at level 3',
          needs('IDR3.STT = 1', (f) => f.stt, ['STT', true]),
        );
      else add(['S2SL0'], 'S2SL0 3 is reserved');
    } else if (sl0 === 2) add(['S2SL0'], 'S2SL0 2', oas(sizeForSl0Two[granule] as number));
    const start = granule === 12 ? (sl0 === 3 ? 3 : 2 - sl0) : 3 - sl0;
    const first = bits - granule - (3 - start) * (granule - 3);
    if (start >= 0 && (first < 1 || first > granule - 3 + 4))
      add(
        ['S2SL0', 'S2T0SZ'],
        first < 1
          ? `a walk that starts at level ${start} needs more than the ${bits} bits of S2T0SZ ${t0sz}`
          : `a walk of ${bits} bits that starts at level ${start} needs more than sixteen first tables`,
      );
  }
  if (get('S2AA64') === 0)
    add(
      ['S2AA64'],
      'S2AA64 is 0: VMSAv8-32 tables',
      needs('IDR0.TTF 1 or 3', () => false),
    );
  if (get('S2ENDI') === 1)
    add(
      ['S2ENDI'],
      'big-endian tables',
      needs('IDR0.TTENDIAN 0 or 3', () => false),
    );
  if (get('S2S') === 1)
    add(
      ['S2S'],
      'stage-2 faults stall',
      stalls('0 or 2', (m) => m !== 1, 0),
    );
  else
    add(
      ['S2S'],
      'stage-2 faults do not stall',
      stalls('0 or 1', (m) => m !== 2, 1),
    );
  if (get('S2HD') === 1) add(['S2HD'], 'hardware manages the dirty state of stage 2', httu(2));
  if (get('S2HA') === 1) add(['S2HA'], 'hardware sets the access flag of stage 2', httu(1));
  const ttb = big('S2TTB');
  const limit = addressSizeBits[get('S2PS')] as number;
  if (bitsOf(ttb) > limit) add(['S2TTB', 'S2PS'], `S2TTB does not fit in the ${limit} bits of S2PS`);
  else if (bitsOf(ttb) > 32) add(['S2TTB'], `S2TTB of ${bitsOf(ttb)} bits`, oas(bitsOf(ttb)));
}

/** Everything that makes a CD illegal (for streams that Linux sets up: NS-EL1 or EL2-E2H). `event` of all is C_BAD_CD. */
export function cdBreaches(words: readonly bigint[], s1stalld = false): Breach[] {
  const big = getter(cdLayout, words);
  const get: Get = (name) => Number(big(name));
  const out: Breach[] = [];
  const add: Add = (fields, text, need) => {
    out.push({ fields, text, ...(need ? { need } : {}) });
  };
  if (get('V') === 0) {
    add(['V'], 'V is 0: the descriptor is not valid');
    return out;
  }
  const off0 = get('EPD0') === 1;
  const off1 = get('EPD1') === 1;
  if (get('AA64') === 0)
    add(
      ['AA64'],
      'AA64 is 0: VMSAv8-32 tables',
      needs('IDR0.TTF 1 or 3', () => false),
    );
  if (get('ENDI') === 1 && !(off0 && off1))
    add(
      ['ENDI'],
      'big-endian tables',
      needs('IDR0.TTENDIAN 0 or 3', () => false),
    );
  if (get('A') === 0)
    add(
      ['A'],
      'A is 0: terminated accesses read zero',
      needs('IDR0.TERM_MODEL = 0', (f) => !f.termModel, ['TERM_MODEL', false]),
    );
  if (get('S') === 1) {
    add(
      ['S'],
      'stage-1 faults stall',
      stalls('0 or 2', (m) => m !== 1, 0),
    );
    if (s1stalld) add(['S'], 'stage-1 faults stall although STE.S1STALLD forbids it');
  } else
    add(
      ['S'],
      'stage-1 faults do not stall',
      stalls('0 or 1', (m) => m !== 2, 1),
    );
  if (get('HA') === 1) add(['HA'], 'hardware sets the access flag of stage 1', httu(1));
  if (get('HD') === 1) add(['HD'], 'hardware manages the dirty state of stage 1', httu(2));
  if (get('ASID') > 0xff)
    add(
      ['ASID'],
      `ASID ${get('ASID')} has more than 8 bits`,
      needs('IDR0.ASID16 = 1', (f) => f.asid16, ['ASID16', true]),
    );
  const limit = addressSizeBits[get('IPS')] as number;
  const half = (n: 0 | 1): void => {
    const granule = (n === 0 ? tg0 : tg1)[get(`TG${n}`)] as number;
    if (granule === 0) add([`TG${n}`], `TG${n} ${get(`TG${n}`)} is reserved`);
    else add([`TG${n}`], `a ${2 ** (granule - 10)} KiB granule`, granuleNeed(granule));
    const tsz = get(`T${n}SZ`);
    const text = `T${n}SZ ${tsz} gives ${64 - tsz} bits`;
    if (tsz < (granule === 16 ? 12 : 16) || tsz > (granule === 16 ? 47 : 48)) add([`T${n}SZ`], `${text}: out of range`);
    else if (tsz < 16)
      add(
        [`T${n}SZ`],
        text,
        needs('IDR5.VAX = 1', (f) => f.vax, ['VAX', true]),
      );
    else if (tsz > 39)
      add(
        [`T${n}SZ`],
        text,
        needs('IDR3.STT = 1', (f) => f.stt, ['STT', true]),
      );
    const ttb = big(`TTB${n}`);
    if (bitsOf(ttb) > limit) add([`TTB${n}`, 'IPS'], `TTB${n} does not fit in the ${limit} bits of IPS`);
    else if (bitsOf(ttb) > 32) add([`TTB${n}`], `TTB${n} of ${bitsOf(ttb)} bits`, oas(bitsOf(ttb)));
  };
  if (!off0) half(0);
  if (!off1) half(1);
  return out;
}

/** What stands no matter which SMMU it is. */
export const illegalAnyway = (all: readonly Breach[]): Breach[] => all.filter((b) => !b.need || b.ignored);

/** Needs that not every SMMU with both stages meets anyway. */
const usual = /IDR0\.S[12]P|STALL_MODEL 0 or 1|GRAN4K|NS1ATS/;
export const needsOf = (all: readonly Breach[]): Breach[] =>
  all.filter((b) => b.need && !b.ignored && !usual.test(b.need.text));
