import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Layout } from '../../bits/index.ts';
import { bytesToWords, decode, encode, explain, halfReader, reservedBits, wordsToBytes } from '../../bits/index.ts';
import * as layouts from './index.ts';
import {
  cdLayout,
  commandLayout,
  commandLayouts,
  commandText,
  decodeEvent,
  descriptorLayout,
  encodeCommand,
  encodeEvent,
  eventLayouts,
  eventName,
  eventText,
  layoutById,
  opcodes,
  registers,
  smmuv3Layouts,
  steLayout,
  vmsav8Layouts,
} from './index.ts';

/** `000000004810000b 00000000000000d6` to words; missing words are zero. */
const words = (text: string, count: number): bigint[] => {
  const w = text
    .trim()
    .split(/\s+/)
    .map((x) => BigInt(`0x${x}`));
  while (w.length < count) w.push(0n);
  return w;
};
const bytes = (text: string): number[] =>
  text
    .trim()
    .split(/\s+/)
    .map((x) => Number.parseInt(x, 16));

/** Nonzero fields by name. */
const nonzero = (layout: Layout, w: readonly bigint[]): Record<string, bigint> =>
  Object.fromEntries(Object.entries(decode(layout, w)).filter(([, v]) => v !== 0n));

type Values = Record<string, number | bigint>;
const big = (v: Values): Record<string, bigint> =>
  Object.fromEntries(Object.entries(v).map(([k, x]) => [k, BigInt(x)]));

describe('every layout', () => {
  test('has a unique id, and fields with unique names inside their words', () => {
    expect(new Set(smmuv3Layouts.map((l) => l.id)).size).toBe(smmuv3Layouts.length);
    for (const l of smmuv3Layouts) {
      expect(new Set(l.fields.map((f) => f.name)).size, l.id).toBe(l.fields.length);
      for (const f of l.fields) {
        expect(f.word, `${l.id}.${f.name}`).toBeLessThan(l.words);
        expect(f.lo, `${l.id}.${f.name}`).toBeLessThanOrEqual(f.hi);
        expect(f.hi, `${l.id}.${f.name}`).toBeLessThan(64);
        expect(f.meaning.endsWith('.'), `${l.id}.${f.name} meaning`).toBe(true);
        if (f.format === 'flag') expect(f.hi, `${l.id}.${f.name}`).toBe(f.lo);
      }
    }
  });

  test('has no bit in two fields', () => {
    for (const l of smmuv3Layouts) {
      const owner = new Map<string, string>();
      for (const f of l.fields)
        for (let bit = f.lo; bit <= f.hi; bit++) {
          const key = `${f.word}:${bit}`;
          expect(owner.get(key), `${l.id} word ${f.word} bit ${bit}`).toBeUndefined();
          owner.set(key, f.name);
        }
    }
  });

  test('names only values that fit, and asks only about fields that exist', () => {
    for (const l of smmuv3Layouts) {
      for (const f of l.fields)
        for (const v of Object.keys(f.values ?? {}))
          expect(Number(v), `${l.id}.${f.name}`).toBeLessThan(2 ** (f.hi - f.lo + 1));
      expect(() => explain(l, new Array(l.words).fill(0n))).not.toThrow();
      expect(() => explain(l, new Array(l.words).fill(0xffff_ffff_ffff_ffffn))).not.toThrow();
    }
  });

  test('registers of 32 bits stay in 32 bits', () => {
    for (const r of registers)
      for (const f of r.layout.fields) expect(f.hi, `${r.name}.${f.name}`).toBeLessThan(r.width);
  });

  test('round trip: any field values survive encoding, and any bytes survive decoding', () => {
    for (const l of smmuv3Layouts) {
      const values = fc.record(
        Object.fromEntries(
          l.fields.map((f) => {
            const width = f.hi - f.lo + 1;
            const raw = fc.bigInt(0n, (1n << BigInt(width)) - 1n);
            return [f.name, f.format === 'addr' ? raw.map((x) => x << BigInt(f.lo)) : raw];
          }),
        ),
      );
      fc.assert(
        fc.property(values, (v) => {
          expect(decode(l, encode(l, v as Record<string, bigint>))).toEqual(v);
        }),
        { numRuns: 20 },
      );
      const raw = fc.array(fc.bigInt(0n, (1n << 64n) - 1n), { minLength: l.words, maxLength: l.words });
      fc.assert(
        fc.property(raw, (w) => {
          const again = encode(l, decode(l, w));
          const rest = reservedBits(l, w);
          expect(again.map((x, i) => x | (rest[i] as bigint))).toEqual(w);
          expect(bytesToWords(wordsToBytes(w))).toEqual(w);
          for (const e of explain(l, w)) expect(e.value).toBe(decode(l, w)[e.field.name]);
        }),
        { numRuns: 20 },
      );
    }
  });

  test('half readers agree with the bigint decoder', () => {
    const narrow = smmuv3Layouts.flatMap((l) => l.fields.filter((f) => f.hi - f.lo < 32).map((f) => ({ l, f })));
    fc.assert(
      fc.property(
        fc.constantFrom(...narrow),
        fc.array(fc.bigInt(0n, (1n << 64n) - 1n), { minLength: 8, maxLength: 8 }),
        ({ l, f }, w) => {
          const halves = w.flatMap((x) => [Number(x & 0xffff_ffffn), Number(x >> 32n)]);
          const value = ((w[f.word] as bigint) >> BigInt(f.lo)) & ((1n << BigInt(f.hi - f.lo + 1)) - 1n);
          expect(halfReader(l, f.name)(halves, 0)).toBe(Number(value));
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('STE and CD of the worked examples', () => {
  const e1: Values = { V: 1, Config: 5, S1ContextPtr: 0x48100000, S1DSS: 2, S1CIR: 1, S1COR: 1, S1CSH: 3 };
  const s2: Values = {
    SHCFG: 1,
    S2VMID: 1,
    S2T0SZ: 16,
    S2SL0: 2,
    S2IR0: 1,
    S2OR0: 1,
    S2SH0: 3,
    S2PS: 5,
    S2AA64: 1,
    S2PTW: 1,
    S2R: 1,
    S2TTB: 0x880040000000,
  };
  const cases: readonly [string, Layout, string, Values][] = [
    ['E1 guest STE', steLayout, '000000004810000b 00000000000000d6', e1],
    ['E1 with ATS', steLayout, '000000004810000b 00000000100000d6', { ...e1, EATS: 1 }],
    [
      'E2 physical STE of the parent',
      steLayout,
      '000000000000000d 0000100000000000 044d359000000001 0000880040000000',
      { V: 1, Config: 6, ...s2 },
    ],
    [
      'E3 physical nested STE',
      steLayout,
      '000000004810000f 00001000000800d6 044d359000000001 0000880040000000',
      { ...e1, ...s2, Config: 7, MEV: 1 },
    ],
    [
      'E3 with ATS',
      steLayout,
      '000000004810000f 00001000100800d6 044d359000000001 0000880040000000',
      { ...e1, ...s2, Config: 7, MEV: 1, EATS: 1 },
    ],
    [
      'E4 guest CD',
      cdLayout,
      '0001e204c0003510 0000000048200000 0000000000000000 00000000f404ff44',
      {
        T0SZ: 16,
        IR0: 1,
        OR0: 1,
        SH0: 3,
        EPD1: 1,
        V: 1,
        IPS: 4,
        AA64: 1,
        R: 1,
        A: 1,
        ASET: 1,
        ASID: 1,
        TTB0: 0x48200000,
        MAIR: 0xf404ff44,
      },
    ],
    ['E5 abort', steLayout, '1', { V: 1 }],
    ['E5 bypass', steLayout, '9', { V: 1, Config: 4 }],
    ['E5 refused: SHCFG', steLayout, '4810000b 00001000000000d6', { ...e1, SHCFG: 1 }],
    ['E5 refused: EATS 2', steLayout, '4810000b 200000d6', { ...e1, EATS: 2 }],
    ['E5 V clear', steLayout, '4810000a', { Config: 5, S1ContextPtr: 0x48100000 }],
    ['L1STD', layouts.l1stdLayout, '0000880010100009', { Span: 9, L2Ptr: 0x880010100000 }],
  ];
  test.each(cases)('%s', (_, layout, text, values) => {
    const w = words(text, layout.words);
    expect(encode(layout, values)).toEqual(w);
    expect(nonzero(layout, w)).toEqual(big(values));
  });

  test('bytes in memory order', () => {
    const e3 = words('000000004810000f 00001000000800d6 044d359000000001 0000880040000000', 8);
    const head = '0f 00 10 48 00 00 00 00 d6 00 08 00 00 10 00 00 01 00 00 00 90 35 4d 04 00 00 00 40 00 88 00 00';
    expect([...wordsToBytes(e3)]).toEqual([...bytes(head), ...new Array(32).fill(0)]);
    const e4 = words('0001e204c0003510 0000000048200000', 8);
    expect([...wordsToBytes(e4)].slice(0, 12)).toEqual(bytes('10 35 00 c0 04 e2 01 00 00 00 20 48'));
  });

  test('a bit outside the kernel list is visible: EATS 0b1000… in bit 63 of word 1 is implementation defined', () => {
    expect(nonzero(steLayout, words('4810000b 80000000000000d6', 8)).IMPDEF1).toBe(0x800n);
  });

  test('which fields apply follows Config', () => {
    const applies = (w: bigint[]): string[] =>
      explain(steLayout, w)
        .filter((e) => e.applies)
        .map((e) => e.field.name);
    expect(applies([0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n])).toEqual(['V']);
    const nested = applies(words('000000004810000f', 8));
    expect(nested).toContain('S1ContextPtr');
    expect(nested).toContain('S2TTB');
    expect(nested).not.toContain('S1Fmt');
    expect(nested).not.toContain('STRW');
    const parent = applies(words('d', 8));
    expect(parent).not.toContain('S1ContextPtr');
    expect(parent).toContain('S2TTB');
    expect(applies(words('9', 8))).not.toContain('S2VMID');
  });
});

describe('commands of the worked examples', () => {
  const cases: readonly [string, string, string, Values][] = [
    ['C1', '0000000800000003 0000000000000001', 'CFGI_STE', { SID: 8, Leaf: 1 }],
    ['C2', '0000000800000005 0000000000000001', 'CFGI_CD', { SID: 8, Leaf: 1 }],
    ['C2 host', '0000010800000005 0000000000000001', 'CFGI_CD', { SID: 0x108, Leaf: 1 }],
    ['C3', '0000000800005005 0000000000000001', 'CFGI_CD', { SID: 8, SSID: 5, Leaf: 1 }],
    ['C3 host', '0000010800005005 0000000000000001', 'CFGI_CD', { SID: 0x108, SSID: 5, Leaf: 1 }],
    ['C4', '0000000000000004 000000000000001f', 'CFGI_ALL', { Range: 31 }],
    ['C5', '0001000000000012 00000000fffff701', 'TLBI_NH_VA', { ASID: 1, Leaf: 1, TTL: 3, TG: 1, Address: 0xfffff000 }],
    [
      'C5 host',
      '0001000100000012 00000000fffff701',
      'TLBI_NH_VA',
      { VMID: 1, ASID: 1, Leaf: 1, TTL: 3, TG: 1, Address: 0xfffff000 },
    ],
    [
      'C6',
      '0001000000900012 00000000ffe00601',
      'TLBI_NH_VA',
      { ASID: 1, SCALE: 9, Leaf: 1, TTL: 2, TG: 1, Address: 0xffe00000 },
    ],
    [
      'C6 host',
      '0001000100900012 00000000ffe00601',
      'TLBI_NH_VA',
      { VMID: 1, ASID: 1, SCALE: 9, Leaf: 1, TTL: 2, TG: 1, Address: 0xffe00000 },
    ],
    [
      'C7a',
      '000100000000c012 00000000fff00701',
      'TLBI_NH_VA',
      { ASID: 1, NUM: 12, Leaf: 1, TTL: 3, TG: 1, Address: 0xfff00000 },
    ],
    [
      'C7b',
      '0001000000500012 00000000fff0d701',
      'TLBI_NH_VA',
      { ASID: 1, SCALE: 5, Leaf: 1, TTL: 3, TG: 1, Address: 0xfff0d000 },
    ],
    [
      'C8',
      '0001000001200012 0000000040000501',
      'TLBI_NH_VA',
      { ASID: 1, SCALE: 18, Leaf: 1, TTL: 1, TG: 1, Address: 0x40000000 },
    ],
    ['C9', '0001000000900012 00000000ffe00400', 'TLBI_NH_VA', { ASID: 1, SCALE: 9, TG: 1, Address: 0xffe00000 }],
    ['C10', '0001000000100012 0000000000010400', 'TLBI_NH_VA', { ASID: 1, SCALE: 1, TG: 1, Address: 0x10000 }],
    ['C11', '0001000000000012 00000000fffff001', 'TLBI_NH_VA', { ASID: 1, Leaf: 1, Address: 0xfffff000 }],
    ['C12', '0001000000000011 0', 'TLBI_NH_ASID', { ASID: 1 }],
    ['C12 host', '0001000100000011 0', 'TLBI_NH_ASID', { VMID: 1, ASID: 1 }],
    ['C13', '0000000000000030 0', 'TLBI_NSNH_ALL', {}],
    ['C13 host, H2', '0000000100000010 0', 'TLBI_NH_ALL', { VMID: 1 }],
    ['C14', '0000000800000040 00000000fffff000', 'ATC_INV', { SID: 8, Address: 0xfffff000 }],
    ['C14 host', '0000010800000040 00000000fffff000', 'ATC_INV', { SID: 0x108, Address: 0xfffff000 }],
    ['C15', '0000000800000040 0000000000008002', 'ATC_INV', { SID: 8, Size: 2, Address: 0x8000 }],
    ['C16', '0000000800005840 0000000000000034', 'ATC_INV', { SSV: 1, SSID: 5, SID: 8, Size: 52 }],
    ['C16 host', '0000010800005840 0000000000000034', 'ATC_INV', { SSV: 1, SSID: 5, SID: 0x108, Size: 52 }],
    ['C17', '000000000fc02046 0', 'SYNC', { CS: 2, MSH: 3, MSIAttr: 15 }],
    ['C18', '000000000fc01046 0000000880012340', 'SYNC', { CS: 1, MSH: 3, MSIAttr: 15, MSIAddress: 0x880012340 }],
    ['C19', '0000000800000001 0', 'PREFETCH_CONFIG', { SID: 8 }],
    [
      'H1',
      '000000010090002a 0000000048000601',
      'TLBI_S2_IPA',
      { VMID: 1, SCALE: 9, Leaf: 1, TTL: 2, TG: 1, Address: 0x48000000 },
    ],
    ['H3', '0000010800000040 0000000000000034', 'ATC_INV', { SID: 0x108, Size: 52 }],
    ['H4', '0000000100000028 0', 'TLBI_S12_VMALL', { VMID: 1 }],
    ['H5', '0000010800001044 0000000000001234', 'RESUME', { Ac: 1, SID: 0x108, STAG: 0x1234 }],
    ['H6', '0000010800000041 0000000000000005', 'PRI_RESP', { SID: 0x108, PRGIndex: 5 }],
  ];
  test.each(cases)('%s', (_, text, name, values) => {
    const w = words(text, 2);
    expect(encodeCommand(name, values)).toEqual(w);
    expect(nonzero(commandLayout(w), w)).toEqual({ Opcode: BigInt(opcodes[name] as number), ...big(values) });
    expect(commandText(w).name).toBe(name);
    expect(commandText(w).layout).toBe(commandLayout(w).id);
    expect(layoutById(commandText(w).layout)).toBe(commandLayout(w));
  });

  test('bytes', () => {
    const at = (name: string, v: Values): number[] => [...wordsToBytes(encodeCommand(name, v))];
    expect(at('CFGI_STE', { SID: 8, Leaf: 1 })).toEqual(bytes('03 00 00 00 08 00 00 00 01 00 00 00 00 00 00 00'));
    expect(at('TLBI_NH_VA', { ASID: 1, Leaf: 1, TTL: 3, TG: 1, Address: 0xfffff000 })).toEqual(
      bytes('12 00 00 00 00 00 01 00 01 f7 ff ff 00 00 00 00'),
    );
    expect(at('SYNC', { CS: 2, MSH: 3, MSIAttr: 15 }).slice(0, 8)).toEqual(bytes('46 20 c0 0f 00 00 00 00'));
  });

  test('opcodes are those of the architecture', () => {
    const lines =
      `01 PREFETCH_CONFIG 02 PREFETCH_ADDR 03 CFGI_STE 04 CFGI_STE_RANGE 05 CFGI_CD 06 CFGI_CD_ALL 07 CFGI_VMS_PIDM
      10 TLBI_NH_ALL 11 TLBI_NH_ASID 12 TLBI_NH_VA 13 TLBI_NH_VAA 18 TLBI_EL3_ALL 1a TLBI_EL3_VA 20 TLBI_EL2_ALL 21 TLBI_EL2_ASID
      22 TLBI_EL2_VA 23 TLBI_EL2_VAA 28 TLBI_S12_VMALL 2a TLBI_S2_IPA 30 TLBI_NSNH_ALL 40 ATC_INV 41 PRI_RESP 44 RESUME
      45 STALL_TERM 46 SYNC 50 TLBI_S_EL2_ALL 51 TLBI_S_EL2_ASID 52 TLBI_S_EL2_VA 53 TLBI_S_EL2_VAA 58 TLBI_S_S12_VMALL
      5a TLBI_S_S2_IPA 60 TLBI_SNH_ALL 70 DPTI_ALL 73 DPTI_PA`.split(/\s+/);
    const table: Record<string, number> = { CFGI_ALL: 4 };
    for (let i = 0; i < lines.length; i += 2) table[lines[i + 1] as string] = Number.parseInt(lines[i] as string, 16);
    expect(opcodes).toEqual(table);
    expect(commandLayouts.length).toBe(lines.length / 2);
    for (let op = 0; op < 256; op++) {
      const known = Object.values(table).includes(op);
      expect(commandLayout([BigInt(op), 0n]).id === 'smmuv3.cmd.unknown', op.toString(16)).toBe(!known);
    }
  });

  test('one line of text', () => {
    const text = (name: string, v: Values = {}): string => commandText(encodeCommand(name, v)).text;
    expect(text('TLBI_NH_VA', { ASID: 1, Address: 0x10000, Leaf: 1 })).toBe('TLBI_NH_VA asid 1 va 0x10000 leaf');
    expect(text('TLBI_NH_VA', { VMID: 3, ASID: 1, Address: 0x10000, Leaf: 1, TG: 1, NUM: 12, TTL: 3 })).toBe(
      'TLBI_NH_VA vmid 3 asid 1 va 0x10000 pages 13 of 4K level 3 leaf',
    );
    expect(text('TLBI_NH_ALL')).toBe('TLBI_NH_ALL vmid 0');
    expect(text('TLBI_S2_IPA', { VMID: 2, Address: 0x48000000 })).toBe('TLBI_S2_IPA vmid 2 ipa 0x48000000');
    expect(text('CFGI_CD', { SID: 8 })).toBe('CFGI_CD sid 0x8 ssid 0x0');
    expect(text('CFGI_ALL')).toBe('CFGI_ALL');
    expect(text('ATC_INV', { SID: 8, Size: 52 })).toBe('ATC_INV sid 0x8 all');
    expect(text('ATC_INV', { SID: 8, SSV: 1, SSID: 5, Size: 2, Address: 0x8000 })).toBe(
      'ATC_INV sid 0x8 ssid 0x5 va 0x8000 pages 4',
    );
    expect(text('SYNC', { CS: 2 })).toBe('SYNC sev');
    expect(text('RESUME', { SID: 8, STAG: 0x12, Ac: 1 })).toBe('RESUME sid 0x8 stag 0x12 retry');
    expect(commandText([0xffn, 0n]).text).toBe('reserved opcode 0xff');
  });

  test('a value that does not fit is refused, not cut', () => {
    expect(() => encodeCommand('TLBI_NH_VA', { ASID: 0x10000 })).toThrow(RangeError);
    expect(() => encodeCommand('TLBI_NH_VA', { Address: 0x10001 })).toThrow(RangeError);
    expect(() => encodeCommand('TLBI_NH_ALL', { ASID: 1 })).toThrow(/no field ASID/);
    expect(() => encodeCommand('TLBI')).toThrow(/no SMMUv3 command/);
  });
});

describe('events of the worked examples', () => {
  const cases: readonly [string, string, string, Values][] = [
    [
      'V1',
      '0000010800000010 0000020000000000 00000000fffff040 0',
      'F_TRANSLATION',
      { SID: 0x108, CLASS: 2, InputAddr: 0xfffff040 },
    ],
    [
      "V1'",
      '0000000800000010 0000020000000000 00000000fffff040 0',
      'F_TRANSLATION',
      { SID: 8, CLASS: 2, InputAddr: 0xfffff040 },
    ],
    [
      'V2',
      '0000010800000010 0000018800000000 00000000fffff040 0000000048203000',
      'F_TRANSLATION',
      { SID: 0x108, RnW: 1, S2: 1, CLASS: 1, InputAddr: 0xfffff040, IPA: 0x48203000 },
    ],
    [
      'V3',
      '0000010800000013 0000028000000000 00000000fffff040 0000000048300000',
      'F_PERMISSION',
      { SID: 0x108, S2: 1, CLASS: 2, InputAddr: 0xfffff040, IPA: 0x48300000 },
    ],
    ['V4', '0000010800000004 0 0 0', 'C_BAD_STE', { SID: 0x108 }],
    ['V5', '000001080000580a 0 0 0', 'C_BAD_CD', { SSV: 1, SSID: 5, SID: 0x108 }],
    ['V6', '0000010800000009 0 0 0000880045100000', 'F_CD_FETCH', { SID: 0x108, FetchAddr: 0x880045100000 }],
    [
      'V7',
      '0000010800005813 0000020080000012 00007f0000001000 0',
      'F_PERMISSION',
      { SSV: 1, SSID: 5, SID: 0x108, STAG: 0x12, Stall: 1, CLASS: 2, InputAddr: 0x7f0000001000 },
    ],
  ];
  test.each(cases)('%s', (_, text, name, values) => {
    const w = words(text, 4);
    expect(encodeEvent(name, values)).toEqual(w);
    const l = eventLayouts.find((x) => x.name === name) as Layout;
    expect(nonzero(l, w)).toEqual({ EventID: w[0]! & 0xffn, ...big(values) });
    expect(decodeEvent(w)).toEqual(decode(l, w));
    expect(eventName(Number(w[0]! & 0xffn))).toBe(name);
  });

  test('bytes of the vEVENT', () => {
    const w = encodeEvent('F_TRANSLATION', { SID: 8, CLASS: 2, InputAddr: 0xfffff040 });
    expect([...wordsToBytes(w)].slice(0, 21)).toEqual(
      bytes('10 00 00 00 08 00 00 00 00 00 00 00 00 02 00 00 40 f0 ff ff 00'),
    );
  });

  test('one line of text', () => {
    expect(eventText(words('0000010800000010 0000018800000000 00000000fffff040 0000000048203000', 4))).toBe(
      'F_TRANSLATION sid 0x108 read 0xfffff040 stage 2 TTD ipa 0x48203000',
    );
    expect(eventText(words('0000010800005813 0000020080000012 00007f0000001000', 4))).toBe(
      'F_PERMISSION sid 0x108 ssid 0x5 write 0x7f0000001000 stage 1 IN stall stag 0x12',
    );
    expect(eventText(words('0000010800000006', 4))).toBe('F_STREAM_DISABLED sid 0x108');
    expect(eventText(words('00000108000000e3', 4))).toBe('IMPDEF_EVENT_0xe3 sid 0x108');
    expect(eventName(0x30)).toBe('RESERVED_0x30');
  });
});

describe('page-table descriptors of the worked examples', () => {
  const cases: readonly [string, string, 1 | 2, number, string, Values][] = [
    [
      'S1 page',
      '48300f47',
      1,
      3,
      'vmsav8.s1.page',
      { Type: 3, AttrIndx: 1, AP: 1, SH: 3, AF: 1, nG: 1, OutputAddress: 0x48300000 },
    ],
    [
      'S1 page, read-only',
      '48300fc7',
      1,
      3,
      'vmsav8.s1.page',
      { Type: 3, AttrIndx: 1, AP: 3, SH: 3, AF: 1, nG: 1, OutputAddress: 0x48300000 },
    ],
    [
      'S1 block',
      '48400f45',
      1,
      2,
      'vmsav8.s1.block',
      { Type: 1, AttrIndx: 1, AP: 1, SH: 3, AF: 1, nG: 1, OutputAddress: 0x48400000 },
    ],
    ['S1 table', '48201003', 1, 0, 'vmsav8.s1.table', { Type: 3, NextLevelTable: 0x48201000 }],
    [
      'S2 page',
      '8800473007ff',
      2,
      3,
      'vmsav8.s2.page',
      { Type: 3, MemAttr: 15, S2AP: 3, SH: 3, AF: 1, OutputAddress: 0x880047300000 },
    ],
    [
      'S2 block',
      '8800450007fd',
      2,
      2,
      'vmsav8.s2.block',
      { Type: 1, MemAttr: 15, S2AP: 3, SH: 3, AF: 1, OutputAddress: 0x880045000000 },
    ],
    [
      'MSI page',
      '80806c7',
      2,
      3,
      'vmsav8.s2.page',
      { Type: 3, MemAttr: 1, S2AP: 3, SH: 2, AF: 1, OutputAddress: 0x08080000 },
    ],
  ];
  test.each(cases)('%s', (_, text, stage, level, id, values) => {
    const w = words(text, 1);
    const l = descriptorLayout(stage, level, w[0] as bigint);
    expect(l.id).toBe(id);
    expect(encode(l, values)).toEqual(w);
    expect(nonzero(l, w)).toEqual(big(values));
  });

  test('what a descriptor is depends on level and granule', () => {
    expect(descriptorLayout(1, 3, 1).id).toBe('vmsav8.s1.invalid');
    expect(descriptorLayout(1, 0, 1).id).toBe('vmsav8.s1.invalid');
    expect(descriptorLayout(1, 1, 1).id).toBe('vmsav8.s1.block.l1');
    expect(descriptorLayout(2, 1, 1, 16).id).toBe('vmsav8.s2.invalid');
    expect(descriptorLayout(2, 2, 1, 16).id).toBe('vmsav8.s2.block.64k');
    expect(descriptorLayout(1, 2, 2).id).toBe('vmsav8.s1.invalid');
    expect(descriptorLayout(1, 3, 0xffff_ffff_ffff_ffffn, 14).id).toBe('vmsav8.s1.page.16k');
    expect(vmsav8Layouts.find((l) => l.id === 'vmsav8.s2.block.64k')?.title).toBe(
      'Stage-2 block descriptor, 512 MiB, 64 KiB granule',
    );
  });
});

test('register offsets', () => {
  const at = Object.fromEntries(registers.map((r) => [r.name, r.offset]));
  expect(at).toMatchObject({
    IDR0: 0,
    IDR5: 0x14,
    CR0: 0x20,
    CR0ACK: 0x24,
    GBPA: 0x44,
    IRQ_CTRLACK: 0x54,
    GERROR: 0x60,
    GERRORN: 0x64,
  });
  expect(at).toMatchObject({
    STRTAB_BASE: 0x80,
    CMDQ_BASE: 0x90,
    CMDQ_PROD: 0x98,
    CMDQ_CONS: 0x9c,
    EVENTQ_PROD: 0x100a8,
    EVENTQ_CONS: 0x100ac,
  });
  expect(at).toMatchObject({ PRIQ_BASE: 0xc0, PRIQ_PROD: 0x100c8, PRIQ_CONS: 0x100cc, PRIQ_IRQ_CFG2: 0xdc });
  expect(new Set(registers.map((r) => r.offset)).size).toBe(registers.length);
});
