import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decode, encode, hexPlain, reservedBits } from '../../bits/index.ts';
import {
  ALL_PAGES,
  contextLayout,
  contextLegacyLayout,
  decodeFault,
  decodePageRequest,
  descriptorLayout,
  descriptorLayouts,
  descriptorName,
  descriptorText,
  deviceTlbRange,
  encodeDescriptor,
  encodeFault,
  encodePageRequest,
  faultName,
  faultReason,
  faultReasonByName,
  faultReasons,
  faultSummary,
  faultText,
  irteLayoutOf,
  layoutById,
  pageRequestText,
  pasidDirLayout,
  pasidLayout,
  prqLayout,
  registerByName,
  registerMap,
  registers,
  rootLayout,
  s1InvalidateLayout,
  s1Layout,
  secondStageEntryLayout,
  vtdLayouts,
  vtdLevelShift,
  x86EntryLayout,
} from './index.ts';

type Row = readonly [string, Record<string, number | bigint>, bigint, bigint, string];

/** Name, fields, first two words, text. Each word is worked out by hand from the bit positions of the specification. */
const descriptors: readonly Row[] = [
  ['CC_INV', { G: 1 }, 0x11n, 0n, 'CC_INV all'],
  ['CC_INV', { G: 3, SID: 0x3b00 }, 0x0000_3b00_0000_0031n, 0n, 'CC_INV device sid 0x3b00'],
  ['CC_INV', { G: 3, SID: 0x3b00, FM: 3 }, 0x0003_3b00_0000_0031n, 0n, 'CC_INV device sid 0x3b00 fm 3'],
  ['PC_INV', { G: 3 }, 0x37n, 0n, 'PC_INV all'],
  ['PC_INV', { G: 0, DID: 5 }, 0x5_0007n, 0n, 'PC_INV did 5'],
  ['PC_INV', { G: 1, DID: 5, PASID: 0x1234 }, 0x0000_1234_0005_0017n, 0n, 'PC_INV did 5 pasid 0x1234'],
  ['IOTLB_INV', { G: 1, DW: 1, DR: 1 }, 0xd2n, 0n, 'IOTLB_INV all'],
  ['IOTLB_INV', { G: 2, DW: 1, DR: 1, DID: 5 }, 0x5_00e2n, 0n, 'IOTLB_INV did 5'],
  ['IOTLB_INV', { G: 2, DW: 1, DR: 1 }, 0xe2n, 0n, 'IOTLB_INV did 0'],
  [
    'IOTLB_INV',
    { G: 3, DW: 1, DR: 1, DID: 5, ADDR: 0x8000_0000, AM: 9 },
    0x5_00f2n,
    0x8000_0009n,
    'IOTLB_INV did 5 addr 0x80000000 pages 512',
  ],
  [
    'IOTLB_INV',
    { G: 3, DW: 1, DR: 1, DID: 5, ADDR: 0x8000_1000, IH: 1 },
    0x5_00f2n,
    0x8000_1040n,
    'IOTLB_INV did 5 addr 0x80001000 pages 1 leaf',
  ],
  ['P_IOTLB_INV', { G: 2, DID: 5, PASID: 0x1234 }, 0x0000_1234_0005_0026n, 0n, 'P_IOTLB_INV did 5 pasid 0x1234'],
  [
    'P_IOTLB_INV',
    { G: 3, DID: 5, PASID: 0x1234, ADDR: 0x7f00_1234_0000n, AM: 4, IH: 1 },
    0x0000_1234_0005_0036n,
    0x0000_7f00_1234_0044n,
    'P_IOTLB_INV did 5 pasid 0x1234 addr 0x7f0012340000 pages 16 leaf',
  ],
  [
    'P_IOTLB_INV',
    { G: 3, DID: 2, ADDR: 0xffff_f000, IH: 1 },
    0x2_0036n,
    0xffff_f040n,
    'P_IOTLB_INV did 2 pasid 0x0 addr 0xfffff000 pages 1 leaf',
  ],
  [
    'DEV_TLB_INV',
    { SID: 0x3b00, S: 1, ADDR: 0x400f_f000 },
    0x0000_3b00_0000_0003n,
    0x400f_f001n,
    'DEV_TLB_INV sid 0x3b00 addr 0x40000000 pages 512',
  ],
  [
    'DEV_TLB_INV',
    { SID: 0x3b00, MIP: 16, PFSID: 0x3b01, ADDR: 0xffff_f000 },
    0x3b00_3b00_0010_1003n,
    0xffff_f000n,
    'DEV_TLB_INV sid 0x3b00 addr 0xfffff000 pages 1',
  ],
  [
    'DEV_TLB_INV',
    { SID: 0x3b00, S: 1, ADDR: 0x7fff_ffff_ffff_f000n },
    0x0000_3b00_0000_0003n,
    0x7fff_ffff_ffff_f001n,
    'DEV_TLB_INV sid 0x3b00 all',
  ],
  [
    'P_DEV_TLB_INV',
    { SID: 0x3b00, PASID: 0x1234, S: 1, ADDR: 0x7f00_1234_7000n },
    0x0000_1234_3b00_0008n,
    0x0000_7f00_1234_7800n,
    'P_DEV_TLB_INV sid 0x3b00 pasid 0x1234 addr 0x7f0012340000 pages 16',
  ],
  [
    'P_DEV_TLB_INV',
    { SID: 0x3b00, PASID: 0x1234, PFSID: 0x3b01, MIP: 16, S: 1, ADDR: 0x7fff_ffff_ffff_f000n },
    0x3b00_1234_3b00_1108n,
    0x7fff_ffff_ffff_f800n,
    'P_DEV_TLB_INV sid 0x3b00 pasid 0x1234 all',
  ],
  [
    'INV_WAIT',
    { SW: 1, STDATA: 2, STADDR: 0x1_0234_5678n },
    0x0000_0002_0000_0025n,
    0x1_0234_5678n,
    'INV_WAIT status 2 to 0x102345678',
  ],
  [
    'INV_WAIT',
    { SW: 1, PD: 1, STDATA: 2, STADDR: 0x1_0234_5678n },
    0x0000_0002_0000_00a5n,
    0x1_0234_5678n,
    'INV_WAIT status 2 to 0x102345678 page-request drain',
  ],
  ['INV_WAIT', { FN: 1, STDATA: 2 }, 0x0000_0002_0000_0045n, 0n, 'INV_WAIT fence'],
  [
    'PAGE_GRP_RESP',
    { PP: 1, RID: 0x3b00, PASID: 0x1234, PRGI: 5 },
    0x0000_1234_3b00_0019n,
    0x28n,
    'PAGE_GRP_RESP rid 0x3b00 pasid 0x1234 group 5 success',
  ],
  [
    'PAGE_GRP_RESP',
    { PP: 1, RID: 0x3b00, PASID: 0x1234, PRGI: 5, RC: 2 },
    0x0000_1234_3b00_2019n,
    0x28n,
    'PAGE_GRP_RESP rid 0x3b00 pasid 0x1234 group 5 code 2',
  ],
  ['IEC_INV', { G: 0 }, 0x4n, 0n, 'IEC_INV all'],
  ['IEC_INV', { G: 1, IIDX: 0x12 }, 0x0000_0012_0000_0014n, 0n, 'IEC_INV index 0x12 entries 1'],
];

describe('descriptors', () => {
  it.each(descriptors)('9.1: %s, example %$', (name, fields, qw0, qw1, text) => {
    const words = encodeDescriptor(name, fields);
    expect(words.map(hexPlain)).toEqual([qw0, qw1, 0n, 0n].map(hexPlain));
    const read = decode(descriptorLayout(words), words);
    const { PFSID, ...plain } = fields;
    for (const [f, v] of Object.entries(plain)) expect(read[f], f).toBe(BigInt(v));
    if (PFSID !== undefined) expect(((read.PFSID_HI as bigint) << 4n) | (read.PFSID_LO as bigint)).toBe(BigInt(PFSID));
    expect(reservedBits(descriptorLayout(words), words)).toEqual([0n, 0n, 0n, 0n]);
    expect(descriptorText(words).text).toBe(text);
    expect(descriptorName(words)).toBe(name);
  });

  // Bits that QEMU refuses; those of a page group response leave its two words of private data alone.
  it.each([
    ['CC_INV', 0xfffc_0000_0000_f1c0n, 0xffff_ffff_ffff_ffffn],
    ['IOTLB_INV', 0xffff_ffff_0000_f100n, 0xf80n],
    ['DEV_TLB_INV', 0x000f_0000_ffe0_01f0n, 0xffen],
    ['IEC_INV', 0xffff_0000_07ff_f1e0n, 0xffff_ffff_ffff_ffffn],
    ['INV_WAIT', 0xffff_f100n, 0x3n],
    ['P_IOTLB_INV', 0xfff0_0000_0000_f1c0n, 0xf80n],
    ['PC_INV', 0xfff0_0000_0000_f1c0n, 0xffff_ffff_ffff_ffffn],
    ['P_DEV_TLB_INV', 0n, 0x7fen],
    ['PAGE_GRP_RESP', 0xfff0_0000_0000_01e0n, 0xffff_ffff_ffff_f007n],
  ])('2.3: %s has no field in a reserved bit', (name, qw0, qw1) => {
    const l = descriptorLayouts.find((x) => x.name === name);
    if (!l) throw new Error(name);
    const ones = reservedBits(l, Array(4).fill(0xffff_ffff_ffff_ffffn));
    // Bits 11:9 extend the type in every descriptor, so they are reserved in all nine.
    const typeBits = 0xe00n;
    expect(hexPlain((ones[0] as bigint) & ~typeBits)).toBe(hexPlain(qw0));
    expect(hexPlain(ones[1] as bigint)).toBe(hexPlain(qw1));
    expect(ones.slice(2)).toEqual([0xffff_ffff_ffff_ffffn, 0xffff_ffff_ffff_ffffn]);
  });

  it('takes bits 11:9 into the type', () => {
    expect(descriptorName([0x0001n])).toBe('CC_INV');
    expect(descriptorName([0x0201n])).toBe('0x11');
    expect(descriptorName([0xan])).toBe('0xa');
    expect(descriptorText([0xan, 0n, 0n, 0n]).text).toBe('reserved type 0xa');
  });

  it('says which granularity is illegal', () => {
    expect(descriptorText([0x2_0016n, 0n, 0n, 0n]).text).toBe('P_IOTLB_INV illegal granularity 1');
    expect(descriptorText([0x27n, 0n, 0n, 0n]).text).toBe('PC_INV illegal granularity 2');
  });

  it('reads back every device TLB range of a power of two', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 50 }), fc.bigInt(0n, (1n << 50n) - 1n), fc.boolean(), (order, n, pasid) => {
        const size = 1n << BigInt(12 + order);
        const address = ((n << 12n) / size) * size;
        // The size bits by arithmetic: one page less than half the size, added to the address.
        const coded = order === 0 ? address : address + size / 2n - 0x1000n;
        const words = encodeDescriptor(pasid ? 'P_DEV_TLB_INV' : 'DEV_TLB_INV', {
          S: order === 0 ? 0 : 1,
          ADDR: coded,
        });
        expect(deviceTlbRange(words)).toEqual({ address, size });
      }),
    );
  });

  it('refuses what does not fit and what it does not know', () => {
    expect(() => encodeDescriptor('IOTLB_INV', { AM: 64 })).toThrow(RangeError);
    expect(() => encodeDescriptor('IOTLB_INV', { ADDR: 0x800 })).toThrow(RangeError);
    expect(() => encodeDescriptor('TLBI_NH_VA')).toThrow(/no VT-d descriptor/);
    expect(() => encodeDescriptor('CC_INV', { PASID: 1 })).toThrow(/no field PASID/);
  });
});

describe('table entries', () => {
  const words = (...w: bigint[]): bigint[] => [...w, ...Array<bigint>(8 - w.length).fill(0n)];

  it.each([
    [
      'nested',
      words(0x0000_0001_0030_00c9n, 0x0000_0000_0180_0005n, 0x0000_0001_0456_7000n),
      { P: 1, AW: 2, PGTT: 3, SSPTPTR: 0x1_0030_0000n, DID: 5, PWSNP: 1, PGSNP: 1, FSPM: 0, FSPTPTR: 0x1_0456_7000n },
    ],
    [
      'nested, five levels',
      words(0x0000_0001_0030_02cdn, 0x0000_0000_0080_0006n, 0x0000_0001_0456_7095n),
      {
        P: 1,
        AW: 3,
        PGTT: 3,
        SSADE: 1,
        SSPTPTR: 0x1_0030_0000n,
        DID: 6,
        PWSNP: 1,
        SRE: 1,
        FSPM: 1,
        WPE: 1,
        EAFE: 1,
        FSPTPTR: 0x1_0456_7000n,
      },
    ],
    ['guest first stage', words(0x49n, 2n, 0x1_0456_7000n), { P: 1, AW: 2, PGTT: 1, DID: 2, FSPTPTR: 0x1_0456_7000n }],
    [
      'SVA',
      words(0x49n, 0x80_0001n, 0x1_0456_7000n),
      { P: 1, AW: 2, PGTT: 1, DID: 1, PWSNP: 1, FSPTPTR: 0x1_0456_7000n },
    ],
    ['pass-through', words(0x109n, 1n), { P: 1, AW: 2, PGTT: 4, DID: 1 }],
    [
      'second stage',
      words(0x0000_0001_0030_0089n, 0x80_0003n),
      { P: 1, AW: 2, PGTT: 2, SSPTPTR: 0x1_0030_0000n, DID: 3, PWSNP: 1 },
    ],
    ['silenced', words(2n), { FPD: 1 }],
  ])('9.2: PASID entry, %s', (_, w, fields) => {
    expect(encode(pasidLayout, fields)).toEqual(w);
    const read = decode(pasidLayout, w);
    for (const [f, v] of Object.entries(read))
      expect(v, f).toBe(BigInt((fields as Record<string, number | bigint>)[f] ?? 0));
  });

  it.each([
    [
      'with ATS, PASID and PRI',
      [0x0000_0001_0010_0e1dn, 0n, 0n, 0n],
      { P: 1, DTE: 1, PASIDE: 1, PRE: 1, PDTS: 7, PASIDDIRPTR: 0x1_0010_0000n },
    ],
    ['plain', [0x0000_0001_0011_0401n, 0n, 0n, 0n], { P: 1, PDTS: 2, PASIDDIRPTR: 0x1_0011_0000n }],
  ])('9.2: context entry, %s', (_, w, fields) => {
    expect(encode(contextLayout, fields)).toEqual(w);
    const read = decode(contextLayout, w);
    for (const [f, v] of Object.entries(read))
      expect(v, f).toBe(BigInt((fields as Record<string, number | bigint>)[f] ?? 0));
  });

  it('9.2: root, directory, first and second stage entries', () => {
    expect(encode(rootLayout, { LP: 1, LCTP: 0x1_0000_1000n })).toEqual([0x1_0000_1001n, 0n]);
    expect(encode(pasidDirLayout, { P: 1, SMPTBLPTR: 0x1_0020_0000n })).toEqual([0x1_0020_0001n]);
    const entry = (l: ReturnType<typeof x86EntryLayout>, w: bigint) => decode(l, [w]);
    const fs = entry(x86EntryLayout(1, 0x89ab_c067n), 0x89ab_c067n);
    expect(fs).toMatchObject({ P: 1n, 'R/W': 1n, 'U/S': 1n, A: 1n, D: 1n, PAT: 0n, ADDR: 0x89ab_c000n, XD: 0n });
    expect(x86EntryLayout(2, 0x1_0456_8027n).id).toBe('x86.table');
    expect(entry(x86EntryLayout(2, 0x27n), 0x1_0456_8027n).ADDR).toBe(0x1_0456_8000n);
    const ss = entry(secondStageEntryLayout(1, 0x803n), 0x1_89ab_c803n);
    expect(ss).toMatchObject({ R: 1n, W: 1n, X: 0n, SNP: 1n, A: 0n, D: 0n, ADDR: 0x1_89ab_c000n });
    expect(entry(secondStageEntryLayout(2, 3n), 0x1_0030_4003n).ADDR).toBe(0x1_0030_4000n);
  });

  it('1.2: legacy context entry', () => {
    // TT 1, 4 levels, domain 0x12.
    const w = encode(contextLegacyLayout, { P: 1, TT: 1, SSPTPTR: 0x12_3000, AW: 2, DID: 0x12 });
    expect(w).toEqual([0x12_3005n, 0x1202n]);
  });

  it.each([
    [1, 0x67n, 'x86.page'],
    [2, 0xe7n, 'x86.2m'],
    [3, 0xe7n, 'x86.1g'],
    [4, 0xe7n, 'x86.table'],
    [4, 0x27n, 'x86.table'],
    [1, 0xe7n, 'x86.page'],
    [2, 0xe6n, 'x86.absent'],
  ])('1.6: first-stage entry of level %i with low bits %s is %s', (level, low, id) => {
    expect(x86EntryLayout(level, low).id).toBe(id);
    expect(x86EntryLayout(level, Number(low)).id).toBe(id);
  });

  it.each([
    [1, 0x3n, false, 'vtdss.page'],
    [1, 0x83n, false, 'vtdss.page'],
    [2, 0x82n, false, 'vtdss.2m'],
    [3, 0x81n, false, 'vtdss.1g'],
    [5, 0x83n, false, 'vtdss.table'],
    [3, 0x3n, false, 'vtdss.table'],
    [1, 0x4n, false, 'vtdss.absent'],
    [1, 0x4n, true, 'vtdss.page'],
    [1, 0xff8n, false, 'vtdss.absent'],
  ])('1.7: second-stage entry of level %i with low bits %s, execute %s, is %s', (level, low, execute, id) => {
    expect(secondStageEntryLayout(level, low, execute).id).toBe(id);
  });

  // Bits above a host address width of 52 are the only ones that a layout leaves reserved, with those of the large pages.
  it.each([
    ['x86.page', 0n],
    ['x86.2m', 0x1f_e000n],
    ['x86.1g', 0x3fff_e000n],
    ['vtdss.page', 0n],
    ['vtdss.2m', 0x1f_f000n],
    ['vtdss.1g', 0x3fff_f000n],
    ['vtdss.table', 0x800n],
    ['x86.table', 0n],
  ])('1.6, 1.7: reserved bits of %s', (id, mask) => {
    const l = layoutById(id);
    if (!l) throw new Error(id);
    expect(reservedBits(l, [0xffff_ffff_ffff_ffffn])).toEqual([mask]);
  });

  it('covers 4 KiB, 2 MiB, 1 GiB, 512 GiB, 256 TiB', () => {
    expect([1, 2, 3, 4, 5].map(vtdLevelShift)).toEqual([12, 21, 30, 39, 48]);
  });

  it('reads an interrupt remapping entry in the format of its IM bit', () => {
    expect(irteLayoutOf([0x0000_0001_0021_000dn, 0x0000_0000_0004_0100n]).id).toBe('vtd.irte');
    const read = decode(irteLayoutOf([0n]), [0x0000_0001_0021_000dn, 0x0000_0000_0004_0100n]);
    expect(read).toMatchObject({ P: 1n, DM: 1n, RH: 1n, V: 0x21n, DST: 1n, SID: 0x100n, SVT: 1n });
    expect(irteLayoutOf([0x8001n]).id).toBe('vtd.irte.posted');
  });
});

describe('fault records', () => {
  it.each([
    [
      'SFS.2',
      { FI: 0x7f00_1234_5000n, SID: 0x3b00, PP: 1, PV: 0x1234 },
      0x0000_7f00_1234_5000n,
      0x8012_3471_8000_3b00n,
      'DMAR: [DMA Write PASID 0x1234] Request device [3b:00.0] fault addr 0x7f0012345000 [fault reason 0x71] SM: Present bit in first-level paging entry is clear',
      'SFS.2 sid 0x3b00 pasid 0x1234 write 0x7f0012345000',
    ],
    [
      'SSS.2',
      { FI: 0x89ab_c000, SID: 0x3b00, T1: 1 },
      0x89ab_c000n,
      0xc000_0079_0000_3b00n,
      'DMAR: [DMA Read NO_PASID] Request device [3b:00.0] fault addr 0x89abc000 [fault reason 0x79] SM: Read/Write permission error in second-level paging entry',
      'SSS.2 sid 0x3b00 read 0x89abc000',
    ],
    [
      'SPT.2',
      { FI: 0x1234_5000, SID: 0x18, T1: 1 },
      0x1234_5000n,
      0xc000_0059_0000_0018n,
      'DMAR: [DMA Read NO_PASID] Request device [00:03.0] fault addr 0x12345000 [fault reason 0x59] SM: Present bit in PASID Table Entry is clear',
      'SPT.2 sid 0x18 read 0x12345000',
    ],
    [
      'SFS.10',
      { FI: 0xffff_f000, SID: 0x5e10, PP: 1, PV: 1 },
      0xffff_f000n,
      0x8000_0191_8000_5e10n,
      'DMAR: [DMA Write PASID 0x1] Request device [5e:02.0] fault addr 0xfffff000 [fault reason 0x91] Unknown',
      'SFS.10 sid 0x5e10 pasid 0x1 write 0xfffff000',
    ],
  ] as const)('9.4: %s', (reason, fields, qw0, qw1, line, summary) => {
    const words = encodeFault(reason, fields);
    expect(words.map(hexPlain)).toEqual([qw0, qw1].map(hexPlain));
    const read = decodeFault(words);
    for (const [f, v] of Object.entries(fields)) expect(read[f], f).toBe(BigInt(v));
    expect(faultText(words)).toBe(line);
    expect(faultSummary(words)).toBe(summary);
  });

  it('10.27: 0x0e and 0x91 print "Unknown"; 0x0e is LGN.4', () => {
    expect(faultReason(0x0e)).toMatchObject({ mnemonic: 'LGN.4', text: 'Unknown' });
    expect(faultReason(0x91).text).toBe('Unknown');
    expect(faultReason(0x55)).toMatchObject({ mnemonic: '', text: 'Unknown' });
    expect(faultName(0x55)).toBe('FR_0x55');
    expect(faultName(0x22)).toBe('FR_0x22');
  });

  it('prints an interrupt remapping fault with its index', () => {
    const words = encodeFault(0x22, { Index: 0x1c, SID: 0xf0ff });
    expect(words).toEqual([0x001c_0000_0000_0000n, 0x8000_0022_0000_f0ffn]);
    expect(faultText(words)).toBe(
      'DMAR: [INTR-REMAP] Request device [f0:1f.7] fault index 0x1c [fault reason 0x22] Present field in the IRTE entry is clear',
    );
    expect(faultSummary(words)).toBe('FR_0x22 sid 0xf0ff index 0x1c');
  });

  it('names each condition once and keeps the codes in order', () => {
    const codes = faultReasons.map((r) => r.code);
    expect(codes).toEqual([...new Set(codes)].sort((a, b) => a - b));
    for (const r of faultReasons) {
      if (!r.mnemonic || r.mnemonic === 'IR') continue;
      expect(faultReasonByName(r.mnemonic)?.code).toBe(r.code);
    }
  });
});

describe('page requests', () => {
  it('9.8: encode, decode, text', () => {
    const words = encodePageRequest({
      rid: 0x3b00,
      pasid: 0x1234,
      page: 0x7f00_1234_5000n,
      group: 5,
      last: true,
      read: true,
      write: true,
    });
    expect(words).toEqual([0x0000_1234_3b00_0101n, 0x0000_7f00_1234_502fn, 0n, 0n]);
    expect(decodePageRequest(words)).toMatchObject({
      Type: 1n,
      PP: 1n,
      RID: 0x3b00n,
      PASID: 0x1234n,
      RD: 1n,
      WR: 1n,
      LPIG: 1n,
      PRGI: 5n,
      ADDR: 0x7f00_1234_5000n,
    });
    expect(pageRequestText(words)).toBe('page request rid 0x3b00 pasid 0x1234 rw- last group 5 0x7f0012345000');
    expect(reservedBits(prqLayout, words)).toEqual([0n, 0n, 0n, 0n]);
  });

  it('3.6: has no field in bits 15:10 and 63:54', () => {
    expect(reservedBits(prqLayout, Array(4).fill(0xffff_ffff_ffff_ffffn))).toEqual([
      0xffc0_0000_0000_fc00n,
      0n,
      0n,
      0n,
    ]);
  });
});

describe('registers', () => {
  const at = (name: string, value: bigint) => {
    const r = registerByName(name);
    if (!r) throw new Error(name);
    return decode(r.layout, [value]);
  };

  it('9.2: RTADDR, IQA, PQA', () => {
    expect(at('RTADDR_REG', 0x1_0000_0400n)).toEqual({ TTM: 1n, RTA: 0x1_0000_0000n });
    expect(at('IQA_REG', 0x1_0234_0801n)).toEqual({ QS: 1n, DW: 1n, BASE: 0x1_0234_0000n });
    expect(at('PQA_REG', 0x1_0235_0004n)).toEqual({ PQS: 4n, BASE: 0x1_0235_0000n });
    expect(at('IQT_REG', 0x40n)).toEqual({ QT: 0x40n });
  });

  it('1.9: CAP and ECAP of a vIOMMU of QEMU', () => {
    expect(at('CAP_REG', 0x81d2_008c_222f_0686n)).toMatchObject({
      ND: 6n,
      CM: 1n,
      SAGAW: 6n,
      MGAW: 47n,
      FRO: 0x22n,
      SSLPS: 3n,
      PSI: 1n,
      NFR: 0n,
      MAMV: 18n,
      DWD: 1n,
      DRD: 1n,
      FS1GP: 1n,
      FS5LP: 0n,
      ESRTPS: 1n,
    });
    expect(at('ECAP_REG', 0x0000_8d9a_20f0_0f5en)).toMatchObject({
      QI: 1n,
      DT: 1n,
      IR: 1n,
      EIM: 1n,
      PT: 1n,
      IRO: 0xfn,
      PRS: 1n,
      NWFS: 1n,
      PSS: 19n,
      PASID: 1n,
      PDS: 1n,
      SMTS: 1n,
      FSTS: 1n,
      SSTS: 0n,
      NEST: 0n,
    });
  });

  it('1.9: CAP and ECAP of the Sapphire Rapids class', () => {
    expect(at('CAP_REG', 0x19ed_008c_4078_0c66n)).toMatchObject({
      CM: 0n,
      SAGAW: 0xcn,
      MGAW: 56n,
      ZLR: 1n,
      FRO: 0x40n,
      MAMV: 45n,
      FS1GP: 1n,
      PI: 1n,
      FS5LP: 1n,
    });
    const e = at('ECAP_REG', 0x0003_ef9e_a6f0_50dfn);
    for (const name of 'SC NEST PRS SRS NWFS EAFS PASID DIT PDS SMTS SSADS SSTS FSTS SMPWCS RPS'.split(' '))
      expect(e[name], name).toBe(1n);
    expect(e).toMatchObject({ PSS: 19n, IRO: 0x50n });
  });

  it('1.10: offsets of a unit follow its CAP and ECAP', () => {
    const map = registerMap(0x81d2_008c_222f_0686n, 0x0000_8d9a_20f0_0f5en);
    const offset = (name: string) => map.find((r) => r.name === name)?.offset;
    expect(offset('IVA_REG')).toBe(0xf0);
    expect(offset('IOTLB_REG')).toBe(0xf8);
    expect(offset('FRCD_REG0_LO')).toBe(0x220);
    expect(offset('FRCD_REG0_HI')).toBe(0x228);
    expect(offset('FRCD_REG1_LO')).toBeUndefined();
    expect(registerByName('IVA_REG')?.offset).toBe(0x500);
    expect(registerByName('FRCD_REG2_HI')?.offset).toBe(0x428);
    expect(registerByName('FRCD_REG256_HI')).toBeUndefined();
    expect(registers.find((r) => r.name === 'PEUADDR_REG')?.offset).toBe(0xec);
  });

  it('reads a fault record from its two halves', () => {
    expect(at('FRCD_REG0_HI', 0x8012_3471_8000_3b00n)).toMatchObject({ F: 1n, FR: 0x71n, PV: 0x1234n, SID: 0x3b00n });
    expect(at('FRCD_REG0_LO', 0x7f00_1234_5000n)).toEqual({ FI: 0x7f00_1234_5000n });
  });
});

describe('uAPI entries', () => {
  const bytes = (words: bigint[]) =>
    words.map((w) => (w.toString(16).padStart(16, '0').match(/../g) as string[]).reverse().join('')).join('');

  it('9.2: page table and invalidation', () => {
    expect(bytes(encode(s1Layout, { pgtbl_addr: 0x1_0456_7000n, addr_width: 48 }))).toBe(
      '000000000000000000705604010000003000000000000000',
    );
    expect(bytes(encode(s1InvalidateLayout, { addr: 0x7f00_1234_0000n, npages: 16, LEAF: 1 }))).toBe(
      '00003412007f000010000000000000000100000000000000',
    );
    expect(bytes(encode(s1InvalidateLayout, { npages: ALL_PAGES }))).toBe(
      '0000000000000000ffffffffffffffff0000000000000000',
    );
  });
});

describe('all layouts', () => {
  it('have ids of their own and fields that neither overlap nor repeat', () => {
    expect(new Set(vtdLayouts.map((l) => l.id)).size).toBe(vtdLayouts.length);
    for (const l of vtdLayouts) {
      const seen = new Set<string>();
      const names = new Set<string>();
      for (const f of l.fields) {
        expect(names.has(f.name), `${l.id}.${f.name}`).toBe(false);
        names.add(f.name);
        expect(f.word, `${l.id}.${f.name}`).toBeLessThan(l.words);
        for (let b = f.lo; b <= f.hi; b++) {
          expect(seen.has(`${f.word}.${b}`), `${l.id}.${f.name} bit ${b}`).toBe(false);
          seen.add(`${f.word}.${b}`);
        }
      }
    }
  });
});
