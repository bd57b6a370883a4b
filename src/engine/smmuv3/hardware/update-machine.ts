import { GranuleMachine, type Tables } from './granule-machine.ts';

/** Tables whose descriptors hardware updates, for the tests of it. */
export const t1: Tables = { granule: 12, start: 0, bits: 48 };
export const t2: Tables = { granule: 12, start: 0, bits: 48 };
export const ROOT = 0x800_0000n;
export const VA = 0x1234_5000n;
export const NEXT = VA + 0x1000n;
export const OUT = 0x3000_0000n;
export const AF = 0x400n;
export const AP2 = 0x80n;
export const DBM = 1n << 51n;
export const S2W = 0x80n;
/** Stage 1, read and write: accessed and dirty; not accessed; clean. Stage 2 the same. */
export const PAGE = 0xf47n;
export const OLD = PAGE & ~AF;
export const CLEAN = PAGE | AP2 | DBM;
export const PAGE2 = 0x7ffn;
export const CLEAN2 = (PAGE2 & ~S2W) | DBM;

type Fields = Record<string, number | bigint>;
export const HA1: Fields = { HA: 1 };
export const HAD1: Fields = { HA: 1, HD: 1 };
export const HA2: Fields = { S2HA: 1 };
export const HAD2: Fields = { S2HA: 1, S2HD: 1 };

export interface Setup {
  readonly nested?: boolean;
  readonly page?: bigint;
  readonly cd?: Fields;
  readonly ste?: Fields;
  readonly features?: Record<string, boolean | number>;
  readonly tables?: bigint;
}

/** VA goes to OUT, with stage 2 behind when nested. */
export class UpdateMachine extends GranuleMachine {
  readonly leaf: bigint;

  constructor(o: Setup) {
    super({
      s2: o.nested ? t2 : null,
      cd: { EPD0: 0, T0SZ: 16, TG0: 0, TTB0: ROOT, ...o.cd },
      ...(o.ste ? { ste: o.ste } : {}),
      ...(o.tables ? { tables: o.tables } : {}),
      ...(o.features ? { features: o.features } : {}),
    });
    this.leaf = this.s1Entry(t1, ROOT, VA, 3);
    this.write(this.leaf, OUT | (o.page ?? PAGE));
    this.write(this.leaf + 8n, (OUT + 0x1000n) | (o.page ?? PAGE));
    if (o.nested) this.pa(OUT);
    if (o.nested) this.pa(OUT + 0x1000n);
  }

  /** Attribute bits of the stage-1 leaf, and of the stage-2 leaf of an intermediate address. */
  get page(): bigint {
    return this.word(this.leaf) & ~0xffff_ffff_f000n;
  }

  page2(ipa = OUT): bigint {
    return this.word(this.s2Entry(ipa, 3)) & ~0xffff_ffff_f000n;
  }

  set2(ipa: bigint, attributes: bigint): void {
    const at = this.s2Entry(ipa, 3);
    this.write(at, (this.word(at) & 0xffff_ffff_f000n) | attributes);
  }

  /** Intermediate address of the table that holds the leaf of VA. */
  get table(): bigint {
    return this.word(this.s1Entry(t1, ROOT, VA, 2)) & 0xffff_ffff_f000n;
  }
}
