import { encode, fieldOf, setField } from '../../bits/index.ts';
import { Injector, runToEnd } from '../../machine/index.ts';
import { Memory } from '../../memory/index.ts';
import { type DmaOutcome, type DmaRequest, PciDevice, type PciDeviceSpec } from '../../pci/index.ts';
import { Trace } from '../../trace/index.ts';
import { cdLayout, registerByName, steLayout } from '../layout/index.ts';
import { decodeFeatures, physicalFeatures, Smmu, type SmmuFeatures } from './index.ts';

/** Shape of a nested machine for tests: numbers of levels, and forms of the tables. */
export interface Shape {
  readonly n1: 3 | 4;
  readonly n2: 2 | 3 | 4;
  readonly twoLevelSte: boolean;
  readonly twoLevelCd: boolean;
  /** Fields of the STE and CD that differ from a working nested stream. */
  readonly ste?: Readonly<Record<string, number | bigint>>;
  readonly cd?: Readonly<Record<string, number | bigint>>;
  readonly features?: Readonly<Record<string, boolean | number>>;
  /** What is different about the device. */
  readonly device?: Partial<PciDeviceSpec>;
  /** More devices of the unit; they have no STE. */
  readonly others?: readonly PciDevice[];
  /** Features that no document can set. */
  readonly override?: Partial<SmmuFeatures>;
}

/** Intermediate addresses lie below 1 GiB; stage 2 adds this. */
export const OFFSET = 0x8000_0000;
export const SID = 0x108;
/** Where the parts lie, as intermediate addresses. */
export const CD = 0x1000_0000;
export const L1CD = 0x1001_0000;
export const S1 = 0x1010_0000;
export const DATA = 0x1020_0000;
export const VA = 0x1234_5678;
const STRTAB = 0x100_0000;
const L2 = 0x110_0000;
const S2 = 0x200_0000;

/** Features as the default ID registers with other field values say them. */
export function withIdr(values: Readonly<Record<string, Readonly<Record<string, number>>>>): SmmuFeatures {
  const f = physicalFeatures({});
  const idr = f.idr.map((v, i) => {
    const words = [BigInt(v)];
    const { layout } = registerByName(`IDR${i}`)!;
    for (const [name, x] of Object.entries(values[`IDR${i}`] ?? {})) setField(fieldOf(layout, name), words, BigInt(x));
    return Number(words[0]);
  });
  return decodeFeatures(idr, f.iidr, f.aidr);
}

/** A stream whose every read can be counted and spoilt: tables made by hand from the layouts, nothing of the drivers. */
export class TestMachine {
  readonly memory = new Memory(2 ** 33);
  readonly trace = new Trace();
  readonly device: PciDevice;
  readonly smmu: Smmu;
  private nextS2 = S2;
  readonly steAddress: number;
  readonly shape: Shape;

  constructor(shape: Shape) {
    this.shape = shape;
    const spec = { name: 'd', rid: SID, vrid: 8, pasidBits: 16, ats: true, pri: false };
    this.device = new PciDevice({ ...spec, ...shape.device });
    this.smmu = new Smmu(
      this.memory,
      { ...physicalFeatures(shape.features ?? {}), ...shape.override },
      [this.device, ...(shape.others ?? [])],
      this.trace,
      new Injector(this.trace),
    );
    this.nextS2 = S2 + 0x10000;
    const s2 = {
      4: { S2T0SZ: 16, S2SL0: 2 },
      3: { S2T0SZ: 24, S2SL0: 1 },
      2: { S2T0SZ: 34, S2SL0: 0 },
    }[shape.n2];
    const cdPointer = shape.twoLevelCd ? L1CD : CD;
    const ste = encode(steLayout, {
      V: 1,
      Config: 7,
      S1ContextPtr: BigInt(cdPointer),
      S1Fmt: shape.twoLevelCd ? 2 : 0,
      S1CDMax: shape.twoLevelCd ? 11 : 0,
      S1DSS: 2,
      EATS: 1,
      S2VMID: 1,
      ...s2,
      S2PS: 5,
      S2AA64: 1,
      S2PTW: 1,
      S2R: 1,
      S2TTB: BigInt(S2),
      ...shape.ste,
    });
    if (shape.twoLevelSte) {
      this.write(STRTAB + 8, BigInt(L2) | 9n);
      this.steAddress = L2 + 8 * 64;
    } else this.steAddress = STRTAB + SID * 64;
    this.put(this.steAddress, ste);
    const cd = encode(cdLayout, {
      T0SZ: shape.n1 === 4 ? 16 : 25,
      EPD1: 1,
      V: 1,
      IPS: 5,
      AA64: 1,
      R: 1,
      A: 1,
      ASID: 1,
      TTB0: BigInt(S1),
      ...shape.cd,
    });
    this.put(CD + OFFSET, cd);
    this.mapIpa(CD);
    if (shape.twoLevelCd) {
      this.write(L1CD + OFFSET, BigInt(CD) | 1n);
      this.mapIpa(L1CD);
    }
    this.mapVa(VA);
    this.mapIpa(DATA);
    const registers = [
      ['STRTAB_BASE', BigInt(STRTAB)],
      ['STRTAB_BASE_CFG', shape.twoLevelSte ? 0x10210n : 10n],
      ['EVENTQ_BASE', 0x300_0005n],
      ['CMDQ_BASE', 0x310_0003n],
      ['IRQ_CTRL', 5n],
      ['CR2', 2n],
      ['CR0', 0x1dn],
    ] as const;
    for (const [name, value] of registers) runToEnd(this.smmu.writeRegister(name, value));
    this.device.atsEnabled = true;
  }

  write(at: number, word: bigint): void {
    this.memory.writeWord(at, word);
  }

  put(at: number, words: readonly bigint[]): void {
    for (const [i, w] of words.entries()) this.write(at + 8 * i, w);
  }

  /** Address of the stage-2 leaf of an intermediate page; missing tables are made. */
  s2Leaf(ipa: number): number {
    let table = S2;
    for (let level = 4 - this.shape.n2; level < 3; level++) {
      const shift = 12 + 9 * (3 - level);
      // The first table may be longer than 512 entries.
      const at =
        table + (level === 4 - this.shape.n2 ? Math.floor(ipa / 2 ** shift) : Math.floor(ipa / 2 ** shift) % 512) * 8;
      if (this.memory.readWord(at) === 0n) {
        this.write(at, BigInt(this.nextS2) | 3n);
        this.nextS2 += 4096;
      }
      table = Number(this.memory.readWord(at) & 0xfffffffff000n);
    }
    return table + (Math.floor(ipa / 4096) % 512) * 8;
  }

  mapIpa(ipa: number, low = 0x7ffn): void {
    const page = ipa - (ipa % 4096);
    this.write(this.s2Leaf(ipa), BigInt(page + OFFSET) | low);
  }

  /** Intermediate address of the stage-1 entry of VA at a level; tables lie one page a level from S1 on. */
  s1Entry(level: number): number {
    const first = 4 - this.shape.n1;
    return S1 + (level - first) * 4096 + (Math.floor(VA / 2 ** (12 + 9 * (3 - level))) % 512) * 8;
  }

  private mapVa(va: number): void {
    void va;
    for (let level = 4 - this.shape.n1; level <= 3; level++) {
      const at = this.s1Entry(level);
      this.mapIpa(at);
      this.write(
        at + OFFSET,
        level === 3 ? BigInt(DATA) | 0xf47n : BigInt(S1 + (level - (4 - this.shape.n1) + 1) * 4096) | 3n,
      );
    }
  }

  /** Puts CD and stage-1 tables also where they are found without stage 2. */
  withoutOffset(): void {
    for (const page of [L1CD, CD, S1, S1 + 0x1000, S1 + 0x2000, S1 + 0x3000])
      this.memory.writeBytes(page, this.memory.readBytes(page + OFFSET, 4096));
  }

  /** An untranslated read of VA, but for what is given. */
  access(q: Partial<DmaRequest>): DmaOutcome {
    const all = { device: this.device, pasid: -1, iova: BigInt(VA), write: false, translated: false, ...q };
    return runToEnd(this.smmu.dma(all));
  }

  dma(write = false, pasid = -1): DmaOutcome {
    return runToEnd(this.smmu.dma({ device: this.device, pasid, iova: BigInt(VA), write, translated: false }));
  }
}
