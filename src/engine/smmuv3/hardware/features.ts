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
    attrTypesOvr: f1('ATTR_TYPES_OVR') === 1,
    attrPermsOvr: f1('ATTR_PERMS_OVR') === 1,
    had: f3('HAD') === 1,
    xnx: f3('XNX') === 1,
    mpam: f3('MPAM') === 1,
    ril: f3('RIL') === 1,
    s2fwb: f3('FWB') === 1,
    oas: addressSizeBits[f5('OAS')]!,
    granules,
  };
}

/** Features that a document can set, with their defaults: those of a current server part, less what is not modelled yet. */
export const smmuFeatureNames = {
  ATS: { default: true, about: 'IDR0.ATS: the SMMU answers translation requests and sends invalidations to devices.' },
  RIL: { default: true, about: 'IDR3.RIL: range invalidation commands.' },
  OAS: { default: 48, about: 'IDR5.OAS: output address size in bits: 32, 36, 40, 42, 44 or 48.' },
  HYP: { default: true, about: 'IDR0.HYP: EL2 stream world; the host then uses E2H.' },
  MSI: { default: true, about: 'IDR0.MSI: a CMD_SYNC can signal by a memory write.' },
  ASID16: { default: true, about: 'IDR0.ASID16: 16-bit ASIDs.' },
  VMID16: { default: true, about: 'IDR0.VMID16: 16-bit VMIDs.' },
  CD2L: { default: true, about: 'IDR0.CD2L: two-level context descriptor tables.' },
  ST_LEVEL: { default: true, about: 'IDR0.ST_LEVEL: two-level stream tables.' },
  S2P: { default: true, about: 'IDR0.S2P: stage 2 is implemented; without it there is no nesting.' },
  ATTR_TYPES_OVR: { default: true, about: 'IDR1.ATTR_TYPES_OVR: incoming memory attributes can be overridden.' },
  iotlbEntries: {
    default: 0,
    about: 'Capacity of the IOTLB in entries, 0: without limit, so that a missing invalidation always shows.',
  },
  atcEntries: { default: 0, about: 'Capacity of each ATC in entries, 0: without limit.' },
} as const;

const code = (bits: number): number => {
  const c = (addressSizeBits as readonly number[]).indexOf(bits);
  if (c < 0 || bits > 48) throw new RangeError(`OAS of ${bits} bits is not modelled: 32, 36, 40, 42, 44 or 48`);
  return c;
};

/** The physical SMMU of a document: defaults with the document's features put in. */
export function physicalFeatures(f: Readonly<Record<string, boolean | number | string>>): SmmuFeatures {
  const on = (n: keyof typeof smmuFeatureNames): number => ((f[n] ?? smmuFeatureNames[n].default) ? 1 : 0);
  const word = (reg: string, values: Record<string, number>): number =>
    Number(encode(registerByName(reg)!.layout, values)[0]!);
  const idr = [
    word('IDR0', {
      S1P: 1,
      S2P: on('S2P'),
      TTF: 2,
      COHACC: 1,
      HYP: on('HYP'),
      ATS: on('ATS'),
      ASID16: on('ASID16'),
      MSI: on('MSI'),
      SEV: 1,
      VMID16: on('VMID16'),
      CD2L: on('CD2L'),
      TTENDIAN: 2,
      STALL_MODEL: 1,
      TERM_MODEL: 1,
      ST_LEVEL: on('ST_LEVEL'),
    }),
    word('IDR1', { SIDSIZE: 16, SSIDSIZE: 16, EVENTQS: 19, CMDQS: 19, ATTR_TYPES_OVR: on('ATTR_TYPES_OVR') }),
    0,
    word('IDR3', { HAD: 1, XNX: 1, RIL: on('RIL'), BBML: 2 }),
    0,
    word('IDR5', { OAS: code(Number(f.OAS ?? smmuFeatureNames.OAS.default)), GRAN4K: 1, GRAN16K: 1, GRAN64K: 1 }),
  ];
  // Range invalidation is mandatory from SMMUv3.2 on.
  return decodeFeatures(idr, 0, word('AIDR', { ArchMinorRev: on('RIL') ? 2 : 1 }));
}
