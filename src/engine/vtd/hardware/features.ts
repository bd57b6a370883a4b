/** What CAP_REG and ECAP_REG of one unit say, raw and as the numbers that the model computes with. */
export interface VtdFeatures {
  readonly cap: bigint;
  readonly ecap: bigint;
  /** Host address width in bits: no field says it, the firmware's DMAR table does. */
  readonly haw: number;

  // CAP_REG
  /** Log2 of the number of domain ids. */
  readonly didBits: number;
  readonly rwbf: boolean;
  /** Caching mode. */
  readonly cm: boolean;
  /** Bit 1: 3 levels, bit 2: 4, bit 3: 5. */
  readonly sagaw: number;
  /** Bits of the widest guest address. */
  readonly mgaw: number;
  readonly zlr: boolean;
  /** Byte offset of the fault recording registers. */
  readonly fro: number;
  /** Second-stage large pages: bit 0 2 MiB, bit 1 1 GiB. */
  readonly sslps: number;
  readonly psi: boolean;
  /** Number of fault recording registers. */
  readonly nfr: number;
  readonly mamv: number;
  readonly dwd: boolean;
  readonly drd: boolean;
  readonly fs1gp: boolean;
  readonly fs5lp: boolean;
  readonly esrtps: boolean;

  // ECAP_REG
  readonly c: boolean;
  readonly qi: boolean;
  readonly dt: boolean;
  readonly ir: boolean;
  readonly pt: boolean;
  readonly sc: boolean;
  /** Byte offset of IVA_REG; IOTLB_REG follows. */
  readonly iro: number;
  readonly nest: boolean;
  readonly prs: boolean;
  readonly ers: boolean;
  readonly srs: boolean;
  readonly nwfs: boolean;
  readonly eafs: boolean;
  /** PASID bits, 0 without PASIDs. */
  readonly pasidBits: number;
  readonly pasid: boolean;
  readonly dit: boolean;
  readonly pds: boolean;
  readonly smts: boolean;
  readonly ssads: boolean;
  readonly ssts: boolean;
  readonly fsts: boolean;
  readonly smpwcs: boolean;
  readonly rps: boolean;
  readonly adms: boolean;
  readonly rprivs: boolean;
}

/** Capability words of a current server part, of the Sapphire Rapids class. */
export const serverCap = 0x19ed008c40780c66n;
export const serverEcap = 0x003ef9ea6f050dfn;
/** Host address width of such a part. */
const serverHaw = 52;

const bits = (word: bigint, high: number, low: number): number =>
  Number((word >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n));

/** Decodes CAP_REG and ECAP_REG. Source: VT-d specification, 11.4.2, 11.4.3. */
export function decodeFeatures(cap: bigint, ecap: bigint, haw = serverHaw): VtdFeatures {
  const c = (bit: number): boolean => bits(cap, bit, bit) === 1;
  const e = (bit: number): boolean => bits(ecap, bit, bit) === 1;
  return {
    cap,
    ecap,
    haw,
    didBits: 4 + 2 * bits(cap, 2, 0),
    rwbf: c(4),
    cm: c(7),
    sagaw: bits(cap, 12, 8),
    mgaw: bits(cap, 21, 16) + 1,
    zlr: c(22),
    fro: bits(cap, 33, 24) * 16,
    sslps: bits(cap, 37, 34),
    psi: c(39),
    nfr: bits(cap, 47, 40) + 1,
    mamv: bits(cap, 53, 48),
    dwd: c(54),
    drd: c(55),
    fs1gp: c(56),
    fs5lp: c(60),
    esrtps: c(63),
    c: e(0),
    qi: e(1),
    dt: e(2),
    ir: e(3),
    pt: e(6),
    sc: e(7),
    iro: bits(ecap, 17, 8) * 16,
    nest: e(26),
    prs: e(29),
    ers: e(30),
    srs: e(31),
    nwfs: e(33),
    eafs: e(34),
    pasidBits: e(40) ? bits(ecap, 39, 35) + 1 : 0,
    pasid: e(40),
    dit: e(41),
    pds: e(42),
    smts: e(43),
    ssads: e(45),
    ssts: e(46),
    fsts: e(47),
    smpwcs: e(48),
    rps: e(49),
    adms: e(52),
    rprivs: e(53),
  };
}

/**
 * Features that a document can set, with their defaults: those of a current server part. A number that the register holds
 * less one (MGAW, NFR, PSS) is given as it is meant: address bits, records, PASID bits.
 */
export const vtdFeatureNames = {
  CM: { default: false, about: 'CAP.CM: caching mode: entries that are not present may be cached too.' },
  SAGAW: { default: 12, about: 'CAP.SAGAW: second-stage table depths: 2 three levels, 4 four, 8 five, added up.' },
  MGAW: { default: 57, about: 'CAP.MGAW: width of the widest guest address in bits, 1 to 64.' },
  SSLPS: { default: 3, about: 'CAP.SSLPS: second-stage large pages: 1 2 MiB, 2 1 GiB, added up.' },
  PSI: { default: true, about: 'CAP.PSI: page-selective invalidation of the IOTLB.' },
  MAMV: { default: 45, about: 'CAP.MAMV: largest address mask of a page-selective invalidation, 0 to 63.' },
  ND: { default: 6, about: 'CAP.ND: 2^(4 + 2 ND) domain ids, 0 to 6.' },
  FS1GP: { default: true, about: 'CAP.FS1GP: first-stage 1 GiB pages.' },
  FS5LP: { default: true, about: 'CAP.FS5LP: five-level first-stage tables.' },
  RWBF: { default: false, about: 'CAP.RWBF: software must flush the write buffer after it changes a table.' },
  ESRTPS: { default: false, about: 'CAP.ESRTPS: setting the root table pointer empties the DMA remapping caches.' },
  NFR: { default: 1, about: 'CAP.NFR: number of fault recording registers, 1 to 256.' },
  DWD: { default: true, about: 'CAP.DWD: an IOTLB invalidation can drain writes.' },
  DRD: { default: true, about: 'CAP.DRD: an IOTLB invalidation can drain reads.' },
  ZLR: { default: true, about: 'CAP.ZLR: zero-length reads of write-only pages.' },
  C: { default: true, about: 'ECAP.C: walks of root, context and second-stage tables snoop the CPU caches.' },
  QI: { default: true, about: 'ECAP.QI: the invalidation queue.' },
  DT: { default: true, about: 'ECAP.DT: device TLBs: the unit answers translation requests.' },
  IR: { default: true, about: 'ECAP.IR: interrupt remapping.' },
  PT: { default: true, about: 'ECAP.PT: pass-through.' },
  SC: { default: true, about: 'ECAP.SC: a table can force an access to snoop.' },
  NEST: { default: true, about: 'ECAP.NEST: nested translation.' },
  PRS: { default: true, about: 'ECAP.PRS: page requests.' },
  SRS: { default: true, about: 'ECAP.SRS: requests can ask for supervisor privilege.' },
  ERS: { default: false, about: 'ECAP.ERS: requests can ask for leave to execute.' },
  EAFS: { default: true, about: 'ECAP.EAFS: hardware sets the extended accessed flag.' },
  PSS: { default: 20, about: 'ECAP.PSS: PASID bits, 1 to 20.' },
  PASID: { default: true, about: 'ECAP.PASID: requests with PASID.' },
  DIT: { default: true, about: 'ECAP.DIT: device-TLB invalidations name the physical function, to be throttled.' },
  PDS: { default: true, about: 'ECAP.PDS: an invalidation wait can drain page requests.' },
  SMTS: { default: true, about: 'ECAP.SMTS: scalable mode.' },
  SSADS: { default: true, about: 'ECAP.SSADS: hardware sets second-stage accessed and dirty bits.' },
  SSTS: { default: true, about: 'ECAP.SSTS: second-stage translation in scalable mode.' },
  FSTS: { default: true, about: 'ECAP.FSTS: first-stage translation in scalable mode.' },
  SMPWCS: { default: true, about: 'ECAP.SMPWCS: walks of scalable-mode tables can snoop the CPU caches.' },
  RPS: { default: true, about: 'ECAP.RPS: RID_PASID of the context entry is the PASID of requests without one.' },
  RPRIVS: { default: false, about: 'ECAP.RPRIVS: RID_PRIV of the context entry is their privilege.' },
  ADMS: { default: false, about: 'ECAP.ADMS: abort DMA mode, TTM 3.' },
  NWFS: { default: true, about: 'ECAP.NWFS: a translation request can say that no write will follow.' },
  haw: { default: serverHaw, about: 'Host address width in bits, 36 to 52.' },
  iotlbEntries: {
    default: 0,
    about: 'Capacity of the IOTLB in entries, 0: without limit, so that a missing invalidation always shows.',
  },
  atcEntries: { default: 0, about: 'Capacity of each device TLB in entries, 0: without limit.' },
} as const;

type Settings = Readonly<Record<string, boolean | number | string>>;
type FeatureName = keyof typeof vtdFeatureNames;

/** Where a feature lies: word, highest and lowest bit, and how much less than the value the field holds. */
type Place = readonly [word: 'cap' | 'ecap', high: number, low: number, less?: number];

const places: Readonly<Partial<Record<FeatureName, Place>>> = {
  ND: ['cap', 2, 0],
  RWBF: ['cap', 4, 4],
  CM: ['cap', 7, 7],
  SAGAW: ['cap', 12, 8],
  MGAW: ['cap', 21, 16, 1],
  ZLR: ['cap', 22, 22],
  SSLPS: ['cap', 37, 34],
  PSI: ['cap', 39, 39],
  NFR: ['cap', 47, 40, 1],
  MAMV: ['cap', 53, 48],
  DWD: ['cap', 54, 54],
  DRD: ['cap', 55, 55],
  FS1GP: ['cap', 56, 56],
  FS5LP: ['cap', 60, 60],
  ESRTPS: ['cap', 63, 63],
  C: ['ecap', 0, 0],
  QI: ['ecap', 1, 1],
  DT: ['ecap', 2, 2],
  IR: ['ecap', 3, 3],
  PT: ['ecap', 6, 6],
  SC: ['ecap', 7, 7],
  NEST: ['ecap', 26, 26],
  PRS: ['ecap', 29, 29],
  ERS: ['ecap', 30, 30],
  SRS: ['ecap', 31, 31],
  NWFS: ['ecap', 33, 33],
  EAFS: ['ecap', 34, 34],
  PSS: ['ecap', 39, 35, 1],
  PASID: ['ecap', 40, 40],
  DIT: ['ecap', 41, 41],
  PDS: ['ecap', 42, 42],
  SMTS: ['ecap', 43, 43],
  SSADS: ['ecap', 45, 45],
  SSTS: ['ecap', 46, 46],
  FSTS: ['ecap', 47, 47],
  SMPWCS: ['ecap', 48, 48],
  RPS: ['ecap', 49, 49],
  ADMS: ['ecap', 52, 52],
  RPRIVS: ['ecap', 53, 53],
};

/** Smallest and largest values of the features that are numbers. */
const ranges: Readonly<Record<string, readonly [number, number]>> = {
  MGAW: [1, 64],
  SSLPS: [0, 3],
  MAMV: [0, 63],
  ND: [0, 6],
  NFR: [1, 256],
  PSS: [1, 20],
  haw: [36, 52],
  iotlbEntries: [0, 2 ** 31],
  atcEntries: [0, 2 ** 31],
};

const levels = 0b01110;

/**
 * What is wrong with the features of a document whose names and types are right.
 * @returns the feature and the values that it can have
 */
export function featureProblem(f: Settings): { readonly name: string; readonly expected: string } | undefined {
  for (const [name, v] of Object.entries(f)) {
    const n = Number(v);
    const range = ranges[name];
    if (range && !(Number.isInteger(n) && n >= range[0] && n <= range[1]))
      return { name, expected: `a whole number from ${range[0]} to ${range[1]}` };
    if (name === 'SAGAW' && !(Number.isInteger(n) && n > 0 && n <= levels && (n & ~levels) === 0))
      return { name, expected: 'a sum of 2 (three levels), 4 (four) and 8 (five)' };
  }
  return undefined;
}

/**
 * The physical unit of a document: defaults with the document's features put in.
 * @throws RangeError for a value that the field does not have
 */
export function physicalFeatures(f: Settings): VtdFeatures {
  const problem = featureProblem(f);
  if (problem) throw new RangeError(`${problem.name} is ${String(f[problem.name])}: ${problem.expected}`);
  const words = { cap: serverCap, ecap: serverEcap };
  const put = ([word, high, low, less = 0]: Place, value: number): void => {
    const mask = ((1n << BigInt(high - low + 1)) - 1n) << BigInt(low);
    words[word] = (words[word] & ~mask) | (BigInt(value - less) << BigInt(low));
  };
  for (const [name, place] of Object.entries(places)) if (name in f) put(place, Number(f[name]));
  // More records than fit before IVA_REG lie behind IOTLB_REG.
  if (Number(f.NFR ?? 1) > 16) put(['cap', 33, 24], 0x60);
  return decodeFeatures(words.cap, words.ecap, Number(f.haw ?? vtdFeatureNames.haw.default));
}
