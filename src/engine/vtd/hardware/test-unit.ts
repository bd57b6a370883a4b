import { encode } from '../../bits/index.ts';
import { Injector, runToEnd } from '../../machine/index.ts';
import { Memory } from '../../memory/index.ts';
import { type DmaOutcome, type DmaRequest, PciDevice, type PciDeviceSpec } from '../../pci/index.ts';
import { Trace, type TraceEvent } from '../../trace/index.ts';
import { contextLayout, encodeDescriptor, pasidLayout } from '../layout/index.ts';
import { physicalFeatures, VtdUnit } from './index.ts';

type Fields = Readonly<Record<string, number | bigint>>;

/** Where the parts lie. */
export const ROOT = 0x1_0000_0000;
const CONTEXT = 0x1_0000_1000;
const DIRECTORY = 0x1_0010_0000;
const PASIDS = 0x1_0020_0000;
const TABLES = 0x1_0100_0000;
export const QUEUE = 0x1_0234_0000;
export const REQUESTS = 0x1_0235_0000;
/** The word that waits write. */
export const STATUS = 0x1_0236_0000;
export const DATA = 0x1_4000_0000;
export const IOVA = 0x7f00_1234_5000n;
export const RID_A = 0x3b00;
export const RID_B = 0x5e10;

/** Makes all invalidations' effects visible: what Linux appends to each of its submissions. */
export const wait = (data = 2): bigint[] =>
  encodeDescriptor('INV_WAIT', { SW: 1, STDATA: data, STADDR: BigInt(STATUS) });

/**
 * A unit in scalable mode with two devices, its tables made by hand from the layouts, nothing of the drivers. Both devices
 * have one context and one PASID table.
 */
export class TestUnit {
  readonly memory = new Memory(2 ** 34);
  readonly trace = new Trace();
  readonly injector = new Injector(this.trace);
  readonly a: PciDevice;
  readonly b: PciDevice;
  readonly unit: VtdUnit;
  readonly events: TraceEvent[] = [];
  private free = TABLES;
  private tail = 0;

  constructor(
    o: {
      readonly features?: Readonly<Record<string, boolean | number>>;
      readonly device?: Partial<PciDeviceSpec>;
      /** 128-bit descriptors. */
      readonly narrow?: boolean;
      readonly context?: Fields;
      /** Registers are left as they come up. */
      readonly off?: boolean;
    } = {},
  ) {
    const spec = { vrid: 8, pasidBits: 20, ats: true, pri: true, ...o.device };
    this.a = new PciDevice({ name: 'a', rid: RID_A, ...spec });
    this.b = new PciDevice({ name: 'b', rid: RID_B, ...spec }, 0, 1);
    const { memory, trace, injector, a, b } = this;
    this.unit = new VtdUnit(memory, physicalFeatures(o.features ?? {}), [a, b], trace, injector);
    for (const bus of [RID_A >> 8, RID_B >> 8]) this.write(ROOT + 16 * bus, BigInt(CONTEXT) | 1n);
    const context = { P: 1, DTE: 1, PASIDE: 1, PRE: 1, PDTS: 7, PASIDDIRPTR: BigInt(DIRECTORY), ...o.context };
    for (const rid of [RID_A, RID_B]) this.put(this.contextAddress(rid), encode(contextLayout, context));
    if (o.off) return;
    const iqa = BigInt(QUEUE) | (o.narrow ? 0n : 0x801n);
    for (const [name, value] of [
      ['RTADDR_REG', BigInt(ROOT) | 0x400n],
      ['GCMD_REG', 0x4000_0000n],
      ['IQA_REG', iqa],
      ['GCMD_REG', 0x0400_0000n],
      ['PQA_REG', BigInt(REQUESTS)],
      ['FEADDR_REG', 0xfee0_0000n],
      ['PEADDR_REG', 0xfee0_0000n],
      ['IEADDR_REG', 0xfee0_0000n],
      ['FECTL_REG', 0n],
      ['PECTL_REG', 0n],
      ['IECTL_REG', 0n],
      ['GCMD_REG', 0x8400_0000n],
    ] as const)
      if (trace) this.set(name, value);
    a.atsEnabled = b.atsEnabled = true;
  }

  /** Keeps the events from now on. */
  listen(): void {
    this.trace.listener = (e) => this.events.push(e);
  }

  reg(name: string): bigint {
    return this.unit.readRegister(name);
  }

  num(name: string): number {
    return Number(this.reg(name));
  }

  set(name: string, value: bigint | number): void {
    runToEnd(this.unit.writeRegister(name, BigInt(value)));
  }

  write(at: number, word: bigint): void {
    this.memory.writeWord(at, word);
  }

  put(at: number, words: readonly bigint[]): void {
    for (const [i, w] of words.entries()) this.write(at + 8 * i, w);
  }

  contextAddress(rid: number): number {
    return CONTEXT + (rid & 0x7f) * 32;
  }

  pasidAddress(pasid: number): number {
    return PASIDS + pasid * 64;
  }

  /** Writes the PASID entry; its page of the table is made. */
  pasid(pasid: number, fields: Fields): void {
    this.write(DIRECTORY + (pasid >> 6) * 8, BigInt(PASIDS + (pasid >> 6) * 4096) | 1n);
    this.put(this.pasidAddress(pasid), encode(pasidLayout, { P: 1, ...fields }));
  }

  newTable(): number {
    this.free += 4096;
    return this.free;
  }

  /**
   * Address of the lowest entry of an address; missing tables are made.
   * @param physical where a table lies for the writer, when its entries hold other addresses
   */
  entry(root: number, address: bigint, levels: number, tableBits: bigint, physical = (a: number): number => a): number {
    let table = root;
    for (let level = levels; level > 1; level--) {
      const at = physical(table) + Number((address >> BigInt(3 + 9 * level)) & 511n) * 8;
      if (this.memory.readWord(at) === 0n) this.write(at, BigInt(this.newTable()) | tableBits);
      table = Number(this.memory.readWord(at) & 0xf_ffff_ffff_f000n);
    }
    return physical(table) + Number((address >> 12n) & 511n) * 8;
  }

  /** Maps a page in a four-level first-stage table whose addresses are physical. */
  first(root: number, iova: bigint, pa: number, bits = 0x67n): number {
    const at = this.entry(root, iova, 4, 0x27n);
    this.write(at, BigInt(pa) | bits);
    return at;
  }

  /** Maps a page in a four-level second-stage table. */
  second(root: number, gpa: bigint, pa: number, bits = 3n): number {
    const at = this.entry(root, gpa, 4, 3n);
    this.write(at, BigInt(pa) | bits);
    return at;
  }

  /** First stage only: DID, PASID, page. */
  firstStage(did: number, pasid: number, iova: bigint, pa: number, fields: Fields = {}): number {
    const root = this.newTable();
    this.pasid(pasid, { PGTT: 1, AW: 2, DID: did, FSPTPTR: BigInt(root), ...fields });
    return this.first(root, iova, pa);
  }

  /** Second stage only. */
  secondStage(did: number, pasid: number, gpa: bigint, pa: number): number {
    const root = this.newTable();
    this.pasid(pasid, { PGTT: 2, AW: 2, DID: did, SSPTPTR: BigInt(root) });
    return this.second(root, gpa, pa);
  }

  /** Nested, guest addresses equal to physical ones. */
  nested(did: number, pasid: number, iova: bigint, pa: number): number {
    const ss = this.newTable();
    const fs = this.newTable();
    this.pasid(pasid, { PGTT: 3, AW: 2, DID: did, SSPTPTR: BigInt(ss), FSPTPTR: BigInt(fs) });
    const from = this.free - 4096;
    const leaf = this.first(fs, iova, pa);
    const to = this.free;
    for (let at = from; at <= to; at += 4096) this.second(ss, BigInt(at), at);
    this.second(ss, BigInt(pa), pa);
    return leaf;
  }

  /** Writes descriptors behind each other and the tail once. */
  post(...descriptors: readonly (readonly bigint[])[]): void {
    const iqa = this.reg('IQA_REG');
    const entry = (iqa & 0x800n) !== 0n ? 32 : 16;
    const bytes = 4096 * 2 ** Number(iqa & 7n);
    for (const d of descriptors) {
      this.put(QUEUE + this.tail, d.slice(0, entry / 8));
      this.tail = (this.tail + entry) % bytes;
    }
    this.set('IQT_REG', this.tail);
  }

  dma(q: Partial<DmaRequest> = {}): DmaOutcome {
    return runToEnd(this.unit.dma({ device: this.a, pasid: -1, iova: IOVA, write: false, translated: false, ...q }));
  }

  ats(pasid = -1, write = false, iova = IOVA, device = this.a): DmaOutcome {
    return runToEnd(this.unit.ats(device, pasid, iova, write));
  }
}

const half = (x: bigint, s: bigint): number => Number((x >> s) & 0xffff_ffffn) | 0;

/** Executes a descriptor apart from the queue. @returns an IQEI code */
export function execute(t: TestUnit, w: readonly bigint[], wide = true): number {
  const rest = w.slice(2).some((x) => x !== 0n) ? 1 : 0;
  return t.unit.execute(half(w[0]!, 0n), half(w[0]!, 32n), half(w[1]!, 0n), half(w[1]!, 32n), rest, wide);
}
