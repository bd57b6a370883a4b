import { flag, num } from '../../properties/words.ts';

/** What CAP_REG, ECAP_REG and the firmware say, field by field (VT-d specification, 11.4.2, 11.4.3). */
export interface PlainFeatures {
  /** Host address width in bits. */
  readonly haw: number;
  readonly didBits: number;
  readonly sagaw: number;
  readonly mgaw: number;
  readonly ss2m: boolean;
  readonly ss1g: boolean;
  readonly fs1gp: boolean;
  readonly fs5lp: boolean;
  readonly dt: boolean;
  readonly pt: boolean;
  readonly sc: boolean;
  readonly nest: boolean;
  readonly prs: boolean;
  readonly ers: boolean;
  readonly srs: boolean;
  readonly eafs: boolean;
  readonly pasid: boolean;
  /** PASID bits. */
  readonly pasidBits: number;
  readonly smts: boolean;
  readonly ssads: boolean;
  readonly ssts: boolean;
  readonly fsts: boolean;
  readonly smpwcs: boolean;
  readonly rps: boolean;
  readonly adms: boolean;
  readonly rprivs: boolean;
}

export const plainFeatures = (cap: bigint, ecap: bigint, haw: number): PlainFeatures => ({
  haw,
  didBits: 4 + 2 * num(cap, 2, 0),
  sagaw: num(cap, 12, 8),
  mgaw: num(cap, 21, 16) + 1,
  ss2m: flag(cap, 34),
  ss1g: flag(cap, 35),
  fs1gp: flag(cap, 56),
  fs5lp: flag(cap, 60),
  dt: flag(ecap, 2),
  pt: flag(ecap, 6),
  sc: flag(ecap, 7),
  nest: flag(ecap, 26),
  prs: flag(ecap, 29),
  ers: flag(ecap, 30),
  srs: flag(ecap, 31),
  eafs: flag(ecap, 34),
  pasid: flag(ecap, 40),
  pasidBits: flag(ecap, 40) ? num(ecap, 39, 35) + 1 : 0,
  smts: flag(ecap, 43),
  ssads: flag(ecap, 45),
  ssts: flag(ecap, 46),
  fsts: flag(ecap, 47),
  smpwcs: flag(ecap, 48),
  rps: flag(ecap, 49),
  adms: flag(ecap, 52),
  rprivs: flag(ecap, 53),
});
