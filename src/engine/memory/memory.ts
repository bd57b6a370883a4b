import { type Bus, PAGE_WORDS } from './bus.ts';

/** Stretches of 4 GiB that the flat directory covers: addresses below 16 GiB are found with one load. */
const FLAT_STRETCHES = 4;
/** Pages of such a stretch. */
const STRETCH = 1 << 20;
const NODE = 1024;

/** Immutable copies of pages by slot, shared between snapshots where nothing was written. */
export interface MemorySnapshot {
  readonly pages: readonly (Int32Array | undefined)[];
}

/**
 * Host physical memory: sparse pages of 4 KiB that lie one after the other in one array. A read is two dependent loads:
 * the page's slot, then the word. Slot 0 is the zero page, so that unwritten memory reads as zero without a branch.
 * A radix directory finds the pages above 16 GiB.
 *
 * The directory only grows and belongs to all snapshots; a snapshot holds copies of the pages that were written since the
 * one before, and a restore copies back only the pages that differ.
 */
export class Memory implements Bus {
  /** Bytes; an access at or above is an external abort, see `contains`. */
  readonly size: number;
  /** 32-bit words of all pages. Replaced when it grows: never keep it across a write. */
  words = new Int32Array(16 * PAGE_WORDS);
  /** Index into `words` of each page below 16 GiB; 0, the zero page, where nothing was written. */
  readonly flat: Int32Array;
  /** The flat directory covers addresses whose bits 51:32 are below this. */
  readonly flatHi: number;
  /** far[page >>> 20 of the number beyond the flat part]: three levels, made as needed. */
  private readonly far = new Map<number, (Int32Array | undefined)[]>();
  /** Rises with every change: what was made from memory at one number still holds at the same number. */
  generation = 0;
  private slots = 1;
  private dirty = new Uint8Array(16);
  /** Last snapshot's copy of each slot. */
  private copies: (Int32Array | undefined)[] = [undefined];
  /** Address of each slot's page. */
  private readonly pages: number[] = [-1];

  constructor(size: number) {
    this.size = size;
    // A power of two, so that a mask tells what lies beyond.
    this.flatHi = size <= 4294967296 ? 1 : size <= 2 * 4294967296 ? 2 : FLAT_STRETCHES;
    // Untouched parts of a typed array cost nothing, so the directory may be generous.
    this.flat = new Int32Array(this.flatHi * STRETCH);
  }

  /** True when [address, address + bytes) lies in physical memory. */
  contains(address: number, bytes = 8): boolean {
    return address >= 0 && address + bytes <= this.size;
  }

  /** Index into `words` of the 32-bit word at an address. `hi` is bits 51:32, `lo` bits 31:0 (int32). */
  indexOf(hi: number, lo: number): number {
    const page = hi < this.flatHi && hi >= 0 ? this.flat[(hi << 20) | (lo >>> 12)]! : this.farSlot(hi, lo) << 10;
    return page | ((lo >>> 2) & 1023);
  }

  private farSlot(hi: number, lo: number): number {
    return this.far.get(hi)?.[lo >>> 22]?.[(lo >>> 12) & (NODE - 1)] ?? 0;
  }

  private at(address: number): number {
    return this.indexOf(Math.floor(address / 4294967296), address | 0);
  }

  readWord(address: number): bigint {
    const i = this.at(address) & -2;
    return (BigInt(this.words[i + 1]! >>> 0) << 32n) | BigInt(this.words[i]! >>> 0);
  }

  read32(address: number): number {
    return this.words[this.at(address)]! >>> 0;
  }

  writeWord(address: number, value: bigint): void {
    const i = this.writable(address) & -2;
    this.words[i] = Number(value & 0xffffffffn);
    this.words[i + 1] = Number((value >> 32n) & 0xffffffffn);
  }

  write32(address: number, value: number): void {
    const i = this.writable(address);
    this.words[i] = value;
  }

  readBytes(address: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) out[i] = this.read32(address + i) >>> (((address + i) % 4) * 8);
    return out;
  }

  writeBytes(address: number, bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) {
      const shift = ((address + i) % 4) * 8;
      this.write32(address + i, (this.read32(address + i) & ~(0xff << shift)) | (bytes[i]! << shift));
    }
  }

  private writable(address: number): number {
    const hi = Math.floor(address / 4294967296);
    const lo = address | 0;
    let i = this.indexOf(hi, lo);
    if (i < NODE) i |= this.newSlot(hi, lo) << 10;
    this.dirty[i >>> 10] = 1;
    this.generation++;
    return i;
  }

  private newSlot(hi: number, lo: number): number {
    const slot = this.slots++;
    this.pages[slot] = (hi >>> 0) * 4294967296 + ((lo & -4096) >>> 0);
    if (hi < this.flatHi && hi >= 0) this.flat[(hi << 20) | (lo >>> 12)] = slot << 10;
    else {
      let high = this.far.get(hi);
      if (!high) this.far.set(hi, (high = new Array<Int32Array | undefined>(NODE).fill(undefined)));
      const leaf = (high[lo >>> 22] ??= new Int32Array(NODE));
      leaf[(lo >>> 12) & (NODE - 1)] = slot;
    }
    if (slot >= this.dirty.length) {
      const words = new Int32Array(this.words.length * 2);
      words.set(this.words);
      this.words = words;
      const dirty = new Uint8Array(this.dirty.length * 2);
      dirty.set(this.dirty);
      this.dirty = dirty;
    }
    this.copies[slot] = undefined;
    return slot;
  }

  /** Copies the pages written since the last save or load; all others are shared. */
  save(): MemorySnapshot {
    for (let s = 1; s < this.slots; s++) {
      if (this.dirty[s] === 0) continue;
      this.copies[s] = this.words.slice(s * PAGE_WORDS, (s + 1) * PAGE_WORDS);
      this.dirty[s] = 0;
    }
    return { pages: this.copies.slice() };
  }

  load(snapshot: MemorySnapshot): void {
    this.generation++;
    for (let s = 1; s < this.slots; s++) {
      const copy = snapshot.pages[s];
      if (this.dirty[s] === 0 && this.copies[s] === copy) continue;
      if (copy) this.words.set(copy, s * PAGE_WORDS);
      else this.words.fill(0, s * PAGE_WORDS, (s + 1) * PAGE_WORDS);
      this.copies[s] = copy;
      this.dirty[s] = 0;
    }
  }

  /** The word at an address as a snapshot has it. */
  readWordOf(snapshot: MemorySnapshot, address: number): bigint {
    const i = this.at(address) & -2;
    const page = snapshot.pages[i >>> 10];
    return page ? (BigInt(page[(i & 1023) + 1]! >>> 0) << 32n) | BigInt(page[i & 1023]! >>> 0) : 0n;
  }

  /** True where the page of an address was never written: it reads as zero. */
  isBlank(address: number): boolean {
    return this.at(address) < NODE;
  }

  /** Addresses of the 64-bit words that differ from a snapshot, ascending. Costs what has been written since, page by page. */
  changedSince(snapshot: MemorySnapshot): number[] {
    const out: number[] = [];
    for (let s = 1; s < this.slots; s++) {
      const then = snapshot.pages[s];
      if (this.dirty[s] === 0 && this.copies[s] === then) continue;
      for (let i = 0; i < NODE; i += 2) {
        const at = s * PAGE_WORDS + i;
        if (this.words[at] !== (then?.[i] ?? 0) || this.words[at + 1] !== (then?.[i + 1] ?? 0))
          out.push(this.pages[s]! + 4 * i);
      }
    }
    return out.sort((a, b) => a - b);
  }

  /** Number of pages that have been written, zero ones included. */
  get pageCount(): number {
    return this.slots - 1;
  }
}
