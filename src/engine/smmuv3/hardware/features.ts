import { encode, fieldOf, getField } from '../../bits/index.ts';
import { registerByName } from '../layout/index.ts';

/** What the ID registers of one SMMU say, raw and as the numbers that the model computes with. */
export interface SmmuFeatures {
  /** IDR0..IDR5. */
  readonly idr: readonly number[];
  readonly iidr: number;
  readonly aidr: number;
  readonly s1p: boolean;
  readonly s2p: boolean;
  readonly hyp: boolean;
  readonly ats: boolean;
  readonly pri: boolean;
  readonly asid16: boolean;
  readonly vmid16: boolean;
  readonly cd2l: boolean;
  readonly msi: boolean;
  readonly sev: boolean;
  /** 0 stall and terminate, 1 no stall, 2 stall forced. */
  readonly stallModel: number;
  /** True: CD.A must be 1. */
  readonly termModel: boolean;
  /** 0 none, 1 access flag, 2 and dirty state. */
  readonly httu: number;
  readonly twoLevelStreamTable: boolean;
  readonly sidBits: number;
  readonly ssidBits: number;
  readonly cmdqsLog2: number;
  readonly eventqsLog2: number;
  readonly priqsLog2: number;
  readonly ril: boolean;
  readonly attrTypesOvr: boolean;
  /** STE.PRIVCFG and STE.INSTCFG have an effect. */
  readonly attrPermsOvr: boolean;
  /** Hierarchical permissions can be switched off (CD.HAD). */
  readonly had: boolean;
  /** Stage-2 XN tells privileged from unprivileged execution. */
  readonly xnx: boolean;
  readonly mpam: boolean;
  readonly s2fwb: boolean;
  /** Output address size in bits. */
  readonly oas: number;
  readonly ns1ats: boolean;
  /** Granules by log2. */
  readonly granules: readonly number[];
  /** 52-bit input addresses at stage 1 (with the 64 KiB granule). */
  readonly vax: boolean;
  /** Small translation tables: input sizes below 25 bits. */
  readonly stt: boolean;
  /** Break-before-make level that software may rely on: 0, 1 or 2. */
  readonly bbml: number;
  /** Not an ID field: whether the IOTLB joins what a contiguous hint says belongs together. */
  readonly contiguous: boolean;
  /** Not an ID field: whether prefetch commands load anything. */
  readonly prefetch: boolean;
}

/** Bits of an address-size code (OAS, IPS, S2PS). Codes beyond 7 do not exist. Source: Arm IHI 0070, IDR5.OAS. */
export const addressSizeBits = [32, 36, 40, 42, 44, 48, 52, 56] as const;

const field = (reg: string, name: string, value: number): number =>
  Number(getField(fieldOf(registerByName(reg)!.layout, name), [BigInt(value >>> 0)]));

/** Decodes ID registers; `idr` has six 32-bit values. */
export function decodeFeatures(idr: readonly number[], iidr = 0, aidr = 0): SmmuFeatures {
  const f0 = (n: string): number => field('IDR0', n, idr[0]!);
  const f1 = (n: string): number => field('IDR1', n, idr[1]!);
  const f3 = (n: string): number => field('IDR3', n, idr[3]!);
  const f5 = (n: string): number => field('IDR5', n, idr[5]!);
  const granules: number[] = [];
  if (f5('GRAN4K')) granules.push(12);
  if (f5('GRAN16K')) granules.push(14);
  if (f5('GRAN64K')) granules.push(16);
  return {
    idr: idr.map((x) => x >>> 0),
    iidr,
    aidr,
    s1p: f0('S1P') === 1,
    s2p: f0('S2P') === 1,
    hyp: f0('HYP') === 1,
    ats: f0('ATS') === 1,
    pri: f0('PRI') === 1,
    asid16: f0('ASID16') === 1,
    vmid16: f0('VMID16') === 1,
    cd2l: f0('CD2L') === 1,
    msi: f0('MSI') === 1,
    sev: f0('SEV') === 1,
    stallModel: f0('STALL_MODEL'),
    termModel: f0('TERM_MODEL') === 1,
    httu: f0('HTTU'),
    ns1ats: f0('NS1ATS') === 1,
    twoLevelStreamTable: f0('ST_LEVEL') !== 0,
    sidBits: f1('SIDSIZE'),
    ssidBits: f1('SSIDSIZE'),
    cmdqsLog2: f1('CMDQS'),
    eventqsLog2: f1('EVENTQS'),
    priqsLog2: f1('PRIQS'),
    attrTypesOvr: f1('ATTR_TYPES_OVR') === 1,
    attrPermsOvr: f1('ATTR_PERMS_OVR') === 1,
    had: f3('HAD') === 1,
    xnx: f3('XNX') === 1,
    mpam: f3('MPAM') === 1,
    ril: f3('RIL') === 1,
    s2fwb: f3('FWB') === 1,
    oas: addressSizeBits[f5('OAS')]!,
    granules,
    vax: f5('VAX') === 1,
    stt: f3('STT') === 1,
    bbml: f3('BBML'),
    contiguous: false,
    prefetch: false,
  };
}

/** Features that a document can set, with their defaults: those of a current server part. */
export const smmuFeatureNames = {
  ATS: { default: true, about: 'IDR0.ATS: the SMMU answers translation requests and sends invalidations to devices.' },
  PRI: { default: true, about: 'IDR0.PRI: devices can send page requests, which arrive in the PRI queue.' },
  RIL: { default: true, about: 'IDR3.RIL: range invalidation commands.' },
  HTTU: {
    default: 2,
    about: 'IDR0.HTTU: hardware updates table descriptors: 0 not, 1 the access flag, 2 the dirty state too.',
  },
  STALL_MODEL: {
    default: 1,
    about:
      'IDR0.STALL_MODEL: a fault can 0 stall or terminate, 1 only terminate, 2 only stall, which leaves no device its ATS.',
  },
  TERM_MODEL: {
    default: true,
    about: 'IDR0.TERM_MODEL: a terminated access is always aborted; off: CD.A = 0 makes it read zero, write nothing.',
  },
  OAS: { default: 48, about: 'IDR5.OAS: output address size in bits: 32, 36, 40, 42, 44, 48 or 52.' },
  VAX: { default: false, about: 'IDR5.VAX: 52-bit input addresses at stage 1, with the 64 KiB granule.' },
  GRAN4K: { default: true, about: 'IDR5.GRAN4K: the 4 KiB granule.' },
  GRAN16K: { default: true, about: 'IDR5.GRAN16K: the 16 KiB granule.' },
  GRAN64K: { default: true, about: 'IDR5.GRAN64K: the 64 KiB granule.' },
  STT: { default: false, about: 'IDR3.STT: small translation tables, input sizes below 25 bits.' },
  BBML: { default: 2, about: 'IDR3.BBML: how far a table may change size without break-before-make: 0, 1 or 2.' },
  FWB: { default: false, about: 'IDR3.FWB: stage 2 can force the memory type; the host then maps with it.' },
  XNX: { default: true, about: 'IDR3.XNX: stage 2 tells privileged from unprivileged execution.' },
  HAD: { default: true, about: 'IDR3.HAD: the permissions of table descriptors can be switched off.' },
  HYP: { default: true, about: 'IDR0.HYP: EL2 stream world; the host then uses E2H.' },
  MSI: { default: true, about: 'IDR0.MSI: a CMD_SYNC can signal by a memory write.' },
  SEV: { default: true, about: 'IDR0.SEV: a CMD_SYNC can wake CPUs that wait for an event.' },
  ASID16: { default: true, about: 'IDR0.ASID16: 16-bit ASIDs.' },
  VMID16: { default: true, about: 'IDR0.VMID16: 16-bit VMIDs.' },
  CD2L: { default: true, about: 'IDR0.CD2L: two-level context descriptor tables.' },
  ST_LEVEL: { default: true, about: 'IDR0.ST_LEVEL: two-level stream tables.' },
  SIDSIZE: { default: 16, about: 'IDR1.SIDSIZE: StreamID bits, 0 to 32.' },
  SSIDSIZE: { default: 16, about: 'IDR1.SSIDSIZE: SubstreamID (PASID) bits, 0 to 20.' },
  CMDQS: { default: 19, about: 'IDR1.CMDQS: log2 of the command queue entries at most, up to 19.' },
  EVENTQS: { default: 19, about: 'IDR1.EVENTQS: log2 of the event queue entries at most, up to 19.' },
  PRIQS: { default: 19, about: 'IDR1.PRIQS: log2 of the PRI queue entries at most, up to 19.' },
  S1P: { default: true, about: 'IDR0.S1P: stage 1 is implemented; without it there is no nesting.' },
  S2P: { default: true, about: 'IDR0.S2P: stage 2 is implemented; without it there is no nesting.' },
  COHACC: { default: true, about: 'IDR0.COHACC: table walks snoop the CPU caches.' },
  ATTR_TYPES_OVR: { default: true, about: 'IDR1.ATTR_TYPES_OVR: incoming memory attributes can be overridden.' },
  ATTR_PERMS_OVR: {
    default: false,
    about: 'IDR1.ATTR_PERMS_OVR: incoming privilege and instruction marks can be overridden.',
  },
  contiguous: {
    default: true,
    about: 'A range of descriptors with the Contiguous hint is cached as one entry, as hardware may.',
  },
  prefetch: {
    default: false,
    about: 'CMD_PREFETCH_CONFIG and CMD_PREFETCH_ADDR load the caches, as hardware may; off: they do nothing.',
  },
  hostPage: {
    default: '4KiB',
    about: 'Page size of the host kernel: 4KiB, 16KiB or 64KiB; its table granule follows.',
  },
  guestPage: {
    default: '4KiB',
    about: 'Page size of the guest kernel: 4KiB, 16KiB or 64KiB; its table granule follows.',
  },
  iotlbEntries: {
    default: 0,
    about: 'Capacity of the IOTLB in entries, 0: without limit, so that a missing invalidation always shows.',
  },
  atcEntries: { default: 0, about: 'Capacity of each ATC in entries, 0: without limit.' },
} as const;

type Settings = Readonly<Record<string, boolean | number | string>>;

/** Values of `hostPage` and `guestPage`, in bytes. */
const pageSizes: Readonly<Record<string, 4096 | 16384 | 65536>> = { '4KiB': 4096, '16KiB': 16384, '64KiB': 65536 };

/** Largest values of the features that are numbers. */
const largest: Readonly<Record<string, number>> = {
  HTTU: 2,
  STALL_MODEL: 2,
  BBML: 2,
  SIDSIZE: 32,
  SSIDSIZE: 20,
  CMDQS: 19,
  EVENTQS: 19,
  PRIQS: 19,
  iotlbEntries: 2 ** 31,
  atcEntries: 2 ** 31,
};

const granuleNames = ['GRAN4K', 'GRAN16K', 'GRAN64K'] as const;

/**
 * What is wrong with the features of a document whose names and types are right.
 * @returns the feature and the values that it can have
 */
export function featureProblem(f: Settings): { readonly name: string; readonly expected: string } | undefined {
  for (const [name, v] of Object.entries(f)) {
    const n = Number(v);
    if (name in largest && !(Number.isInteger(n) && n >= 0 && n <= largest[name]!))
      return { name, expected: `a whole number from 0 to ${largest[name]}` };
    if (name === 'OAS' && !(addressSizeBits as readonly number[]).slice(0, 7).includes(n))
      return { name, expected: '32, 36, 40, 42, 44, 48 or 52' };
    if ((name === 'hostPage' || name === 'guestPage') && !Object.hasOwn(pageSizes, String(v)))
      return { name, expected: '"4KiB", "16KiB" or "64KiB"' };
  }
  if (granuleNames.every((n) => f[n] === false))
    return { name: granuleNames[2], expected: 'true: an SMMU has one granule at least' };
  return undefined;
}

/** @throws RangeError where a machine is made without the document's checks */
function promise(f: Settings): void {
  const p = featureProblem(f);
  if (p) throw new RangeError(`${p.name} is ${String(f[p.name])}: ${p.expected}`);
}

/**
 * Page size of a kernel in bytes, as the document's features say.
 * @throws RangeError for a size that no arm64 kernel has
 */
export function kernelPage(f: Settings, whose: 'hostPage' | 'guestPage'): 4096 | 16384 | 65536 {
  const text = String(f[whose] ?? smmuFeatureNames[whose].default);
  promise({ [whose]: text });
  return pageSizes[text]!;
}

/**
 * The physical SMMU of a document: defaults with the document's features put in.
 * @throws RangeError for a value that the field does not have
 */
export function physicalFeatures(f: Settings): SmmuFeatures {
  promise(f);
  const value = (n: keyof typeof smmuFeatureNames): number => Number(f[n] ?? smmuFeatureNames[n].default);
  const on = (n: keyof typeof smmuFeatureNames): number => (value(n) ? 1 : 0);
  const word = (reg: string, values: Record<string, number>): number =>
    Number(encode(registerByName(reg)!.layout, values)[0]!);
  const idr = [
    word('IDR0', {
      S1P: on('S1P'),
      S2P: on('S2P'),
      TTF: 2,
      COHACC: on('COHACC'),
      HTTU: value('HTTU'),
      HYP: on('HYP'),
      ATS: on('ATS'),
      PRI: on('PRI'),
      ASID16: on('ASID16'),
      MSI: on('MSI'),
      SEV: on('SEV'),
      VMID16: on('VMID16'),
      CD2L: on('CD2L'),
      TTENDIAN: 2,
      STALL_MODEL: value('STALL_MODEL'),
      TERM_MODEL: on('TERM_MODEL'),
      ST_LEVEL: on('ST_LEVEL'),
    }),
    word('IDR1', {
      SIDSIZE: value('SIDSIZE'),
      SSIDSIZE: value('SSIDSIZE'),
      PRIQS: on('PRI') ? value('PRIQS') : 0,
      EVENTQS: value('EVENTQS'),
      CMDQS: value('CMDQS'),
      ATTR_TYPES_OVR: on('ATTR_TYPES_OVR'),
      ATTR_PERMS_OVR: on('ATTR_PERMS_OVR'),
    }),
    0,
    word('IDR3', {
      HAD: on('HAD'),
      XNX: on('XNX'),
      FWB: on('FWB'),
      STT: on('STT'),
      RIL: on('RIL'),
      BBML: value('BBML'),
    }),
    0,
    word('IDR5', {
      OAS: (addressSizeBits as readonly number[]).indexOf(value('OAS')),
      GRAN4K: on('GRAN4K'),
      GRAN16K: on('GRAN16K'),
      GRAN64K: on('GRAN64K'),
      VAX: on('VAX'),
      // As many as a tag could tell apart is more than any device has in flight.
      STALL_MAX: value('STALL_MODEL') === 1 ? 0 : 64,
    }),
  ];
  // Range invalidation and FWB are mandatory from SMMUv3.2 on.
  return {
    ...decodeFeatures(idr, 0, word('AIDR', { ArchMinorRev: on('RIL') && on('FWB') ? 2 : 1 })),
    contiguous: on('contiguous') === 1,
    prefetch: on('prefetch') === 1,
  };
}
