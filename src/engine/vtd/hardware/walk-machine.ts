import { encode } from '../../bits/index.ts';
import { Injector, runToEnd } from '../../machine/index.ts';
import { Memory } from '../../memory/index.ts';
import { type DmaOutcome, type DmaRequest, PciDevice } from '../../pci/index.ts';
import { Trace } from '../../trace/index.ts';
import { contextLayout, contextLegacyLayout, pasidLayout } from '../layout/index.ts';
import { physicalFeatures, VtdUnit } from './index.ts';

type Fields = Readonly<Record<string, number | bigint>>;

/** Shape of a machine for tests: what translates, how deep, and which fields differ from what works. */
export interface Shape {
  /** PGTT; 0: legacy mode, with TT from `context`. */
  readonly pgtt?: 0 | 1 | 2 | 3 | 4;
  readonly fs?: 4 | 5;
  readonly ss?: 3 | 4 | 5;
  readonly pasid?: number;
  readonly features?: Readonly<Record<string, boolean | number>>;
  readonly context?: Fields;
  readonly entry?: Fields;
}

/** Guest addresses lie below 1 GiB; the second stage adds this. */
export const OFFSET = 0x1_0000_0000;
export const RID = 0x3b42;
export const DID = 5;
export const IOVA = 0x12345678;
/** Guest address of the page, and of the top first-stage table. */
export const DATA = 0x1020_0000;
export const FS_ROOT = 0x1010_0000;

const ROOT = 0x100_0000;
const CONTEXT = 0x101_0000;
const DIRECTORY = 0x102_0000;
const PASIDS = 0x103_0000;
const SS_ROOT = 0x200_0000;

/** One requester whose every read can be counted and spoilt: tables made by hand from the layouts, nothing of the drivers. */
export class WalkMachine {
  readonly memory = new Memory(2 ** 34);
  readonly trace = new Trace();
  readonly device: PciDevice;
  readonly unit: VtdUnit;
  readonly rootEntry = ROOT + 16 * (RID >> 8);
  readonly contextEntry: number;
  readonly directoryEntry: number;
  readonly pasidEntry: number;
  readonly pasid: number;
  private readonly shape: Shape;
  private readonly pgtt: number;
  private nextTable = SS_ROOT;
  private nextGuest = FS_ROOT;

  constructor(shape: Shape = {}) {
    this.shape = shape;
    const { pgtt = 3, pasid = -1, fs = 4, ss = 4 } = shape;
    this.pgtt = pgtt;
    this.pasid = pasid;
    const legacy = pgtt === 0;
    const used = Math.max(pasid, 0);
    this.device = new PciDevice({ name: 'd', rid: RID, vrid: 8, pasidBits: 20, ats: true, pri: true });
    this.device.pasidEnabled = true;
    this.device.atsEnabled = true;
    this.unit = new VtdUnit(
      this.memory,
      physicalFeatures({ SAGAW: 14, ...shape.features }),
      [this.device],
      this.trace,
      new Injector(this.trace),
    );
    this.contextEntry = CONTEXT + (RID & 0xff) * (legacy ? 16 : 32);
    this.directoryEntry = DIRECTORY + (used >> 6) * 8;
    this.pasidEntry = PASIDS + (used & 63) * 64;
    this.write(this.rootEntry, BigInt(CONTEXT) | 1n);
    if (legacy) {
      const context = { P: 1, TT: 0, AW: ss - 2, DID, SSPTPTR: BigInt(SS_ROOT), ...shape.context };
      this.put(this.contextEntry, encode(contextLegacyLayout, context));
    } else {
      const flags = { P: 1, DTE: 1, PASIDE: 1, PRE: 1, PDTS: 7 };
      this.put(
        this.contextEntry,
        encode(contextLayout, { ...flags, PASIDDIRPTR: BigInt(DIRECTORY), ...shape.context }),
      );
      this.write(this.directoryEntry, BigInt(PASIDS) | 1n);
      this.put(
        this.pasidEntry,
        encode(pasidLayout, {
          P: 1,
          PGTT: pgtt,
          AW: ss - 2,
          SSPTPTR: BigInt(SS_ROOT),
          DID,
          PWSNP: 1,
          FSPM: fs - 4,
          FSPTPTR: BigInt(pgtt === 3 ? FS_ROOT : FS_ROOT + OFFSET),
          ...shape.entry,
        }),
      );
    }
    this.mapGuest(FS_ROOT);
    this.map(IOVA, DATA);
    for (const [reg, v] of [
      ['RTADDR_REG', BigInt(ROOT) | (legacy ? 0n : 0x400n)],
      ['GCMD_REG', 0x4000_0000n],
      ['GCMD_REG', 0x8000_0000n],
    ] as const)
      runToEnd(this.unit.writeRegister(reg, v));
  }

  write(at: number, word: bigint): void {
    this.memory.writeWord(at, word);
  }

  word(at: number): bigint {
    return this.memory.readWord(at);
  }

  put(at: number, words: readonly bigint[]): void {
    for (const [i, w] of words.entries()) this.write(at + 8 * i, w);
  }

  /** Flips bits of a word. */
  flip(at: number, bits: bigint): void {
    this.write(at, this.word(at) ^ bits);
  }

  /** Physical address of the second-stage entry of a level that leads to a guest address; tables are made. */
  ssEntry(gpa: number, level = 1): number {
    let table = SS_ROOT;
    for (let k = this.shape.ss ?? 4; ; k--) {
      const at = table + 8 * (Math.floor(gpa / 2 ** (3 + 9 * k)) % 512);
      if (k === level) return at;
      if (this.word(at) === 0n) this.write(at, BigInt((this.nextTable += 4096)) | 3n);
      table = Number(this.word(at) & 0xf_ffff_ffff_f000n);
    }
  }

  private mapGuest(gpa: number): void {
    this.write(this.ssEntry(gpa), BigInt(gpa + OFFSET) | 3n);
  }

  /** Guest address of the first-stage entry of a level that leads to an input address; tables are made. */
  fsGuestEntry(iova: number, level = 1): number {
    let table = FS_ROOT;
    // Where the first stage alone translates, its tables hold physical addresses.
    const base = this.pgtt === 3 ? 0 : OFFSET;
    for (let k = this.shape.fs ?? 4; ; k--) {
      const at = table + 8 * (Math.floor(iova / 2 ** (3 + 9 * k)) % 512);
      if (k === level) return at;
      if (this.word(at + OFFSET) === 0n) {
        this.mapGuest((this.nextGuest += 4096));
        this.write(at + OFFSET, BigInt(this.nextGuest + base) | 0x27n);
      }
      table = Number(this.word(at + OFFSET) & 0xf_ffff_ffff_f000n) - base;
    }
  }

  /** Its physical address. */
  fsEntry(iova: number, level = 1): number {
    return this.fsGuestEntry(iova, level) + OFFSET;
  }

  /** Maps a page in every stage that translates: the first stage to `gpa`, the second to `gpa + OFFSET`. */
  map(iova: number, gpa: number, bits = 0x67n): void {
    const page = iova - (iova % 4096);
    const input = this.pgtt === 2 || this.pgtt === 0 ? page : gpa;
    const base = this.pgtt === 1 ? OFFSET : 0;
    this.write(this.ssEntry(input), BigInt(gpa + OFFSET) | 3n);
    if (this.pgtt === 1 || this.pgtt === 3) this.write(this.fsEntry(page), BigInt(gpa + base) | bits);
  }

  dma(q: Partial<DmaRequest> = {}): DmaOutcome {
    return runToEnd(
      this.unit.dma({
        device: this.device,
        pasid: this.pasid,
        iova: BigInt(IOVA),
        write: false,
        translated: false,
        ...q,
      }),
    );
  }

  ats(iova = BigInt(IOVA), write = false): DmaOutcome {
    return runToEnd(this.unit.ats(this.device, this.pasid, iova, write));
  }
}
