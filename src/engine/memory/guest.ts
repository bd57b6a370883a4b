import { type Bus, PAGE_SIZE } from './bus.ts';
import type { Memory } from './memory.ts';

/** One stretch of a process's virtual memory and the host pages behind it, contiguous in chunks of `chunk` bytes. */
export interface Backing {
  readonly uva: number;
  readonly size: number;
  /** First host physical address. */
  readonly base: number;
  /**
   * Size of a physically contiguous piece: 4 KiB, 2 MiB or 1 GiB pages. Neighbouring pieces are swapped pairwise
   * (piece i lies at i ^ 1), so that no larger contiguous stretch exists and the kernel cannot map a larger page.
   */
  readonly chunk: number;
}

/** A process's address space as far as pinning needs it. User addresses are numbers below 2^47. */
export class ProcessMemory {
  readonly backings: Backing[] = [];

  add(b: Backing): void {
    this.backings.push(b);
  }

  /** Host physical address behind a user address, or -1 where nothing is mapped (pinning gives EFAULT). */
  resolve(uva: number): number {
    for (const b of this.backings) {
      const off = uva - b.uva;
      if (off < 0 || off >= b.size) continue;
      const piece = Math.floor(off / b.chunk);
      const pieces = Math.floor(b.size / b.chunk);
      const paired = piece % 2 === 0 ? piece + 1 : piece - 1;
      return b.base + (paired < pieces ? paired : piece) * b.chunk + (off % b.chunk);
    }
    return -1;
  }

  /** Bytes from a user address on that lie physically in a row with it; 0 where nothing is mapped. */
  contiguous(uva: number): number {
    for (const b of this.backings) {
      const off = uva - b.uva;
      if (off >= 0 && off < b.size) return Math.min(b.size - off, b.chunk - (off % b.chunk));
    }
    return 0;
  }
}

/** One piece of guest physical memory, as the VMM gave it to KVM. */
export interface MemorySlot {
  readonly gpa: number;
  readonly size: number;
  readonly uva: number;
}

/**
 * The guest's window: what its CPUs and its VMM see at a guest physical address. It goes through the process's
 * pages (the CPU's own stage 2), never through the IOMMU's tables.
 */
export class GuestMemory implements Bus {
  readonly slots: MemorySlot[] = [];
  private readonly memory: Memory;
  private readonly process: ProcessMemory;

  constructor(memory: Memory, process: ProcessMemory) {
    this.memory = memory;
    this.process = process;
  }

  addSlot(slot: MemorySlot): void {
    this.slots.push(slot);
  }

  /** Host physical address of a guest physical one, or -1 outside guest memory. */
  resolve(gpa: number): number {
    for (const s of this.slots)
      if (gpa >= s.gpa && gpa < s.gpa + s.size) return this.process.resolve(s.uva + (gpa - s.gpa));
    return -1;
  }

  contains(gpa: number, bytes = 8): boolean {
    return this.slots.some((s) => gpa >= s.gpa && gpa + bytes <= s.gpa + s.size);
  }

  /** Reads outside guest memory give zero, writes are dropped, as on a bus without a target. */
  readWord(gpa: number): bigint {
    const pa = this.resolve(gpa);
    return pa < 0 ? 0n : this.memory.readWord(pa);
  }

  writeWord(gpa: number, value: bigint): void {
    const pa = this.resolve(gpa);
    if (pa >= 0) this.memory.writeWord(pa, value);
  }

  read32(gpa: number): number {
    const pa = this.resolve(gpa);
    return pa < 0 ? 0 : this.memory.read32(pa);
  }

  write32(gpa: number, value: number): void {
    const pa = this.resolve(gpa);
    if (pa >= 0) this.memory.write32(pa, value);
  }

  readBytes(gpa: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const n = Math.min(length - done, PAGE_SIZE - ((gpa + done) % PAGE_SIZE));
      const pa = this.resolve(gpa + done);
      if (pa >= 0) out.set(this.memory.readBytes(pa, n), done);
      done += n;
    }
    return out;
  }

  writeBytes(gpa: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const n = Math.min(bytes.length - done, PAGE_SIZE - ((gpa + done) % PAGE_SIZE));
      const pa = this.resolve(gpa + done);
      if (pa >= 0) this.memory.writeBytes(pa, bytes.subarray(done, done + n));
      done += n;
    }
  }
}

/** Hands out zeroed pages in ascending order and takes them back; the lowest free stretch is used first. */
export class PageAllocator {
  private readonly start: number;
  private next: number;
  private readonly end: number;
  private free: { at: number; size: number }[] = [];

  constructor(start: number, end: number) {
    this.start = start;
    this.next = start;
    this.end = end;
  }

  /**
   * @param size bytes, rounded up to pages; the result is aligned to the size rounded up to a power of two
   * @throws RangeError when the zone is exhausted
   */
  alloc(size: number): number {
    const bytes = Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
    let align = PAGE_SIZE;
    while (align < bytes) align *= 2;
    const hit = this.free.findIndex((f) => f.size === bytes && f.at % align === 0);
    if (hit >= 0) return this.free.splice(hit, 1)[0]!.at;
    const at = Math.ceil(this.next / align) * align;
    if (at + bytes > this.end)
      throw new RangeError(`no free pages: ${bytes} bytes asked, zone ends at 0x${this.end.toString(16)}`);
    // What alignment skips stays usable for single pages.
    for (let gap = this.next; gap < at; gap += PAGE_SIZE) this.free.push({ at: gap, size: PAGE_SIZE });
    this.next = at + bytes;
    return at;
  }

  /** True for the address of a page that is handed out now. */
  has(at: number): boolean {
    if (at % PAGE_SIZE !== 0 || at < this.start || at >= this.next) return false;
    return !this.free.some((f) => at >= f.at && at < f.at + f.size);
  }

  /**
   * Takes back what `alloc` gave. A page that is not handed out now is left alone: drivers find the tables that they free
   * through pointers in memory, and somebody may have written over those.
   */
  release(at: number, size: number): void {
    if (!this.has(at) || at + size > this.next) return;
    this.free.push({ at, size: Math.ceil(size / PAGE_SIZE) * PAGE_SIZE });
    this.free.sort((a, b) => a.at - b.at);
  }

  save(): { next: number; free: { at: number; size: number }[] } {
    return { next: this.next, free: this.free.map((f) => ({ ...f })) };
  }

  load(s: { next: number; free: { at: number; size: number }[] }): void {
    this.next = s.next;
    this.free = s.free.map((f) => ({ ...f }));
  }
}
