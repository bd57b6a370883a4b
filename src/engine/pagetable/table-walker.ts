import type { Memory } from '../memory/index.ts';
import { FOR_INPUT, type ReadVisitor, type UpdateVisitor } from './access.ts';

/**
 * What a hardware walk of any format has: the memory, who watches, and the result in fields, so that nothing is allocated.
 * Addresses are int32 halves.
 */
export class TableWalker {
  readonly memory: Memory;
  private readonly limitHi: number;
  private readonly limitLo: number;
  visitor: ReadVisitor | null = null;
  updated: UpdateVisitor | null = null;
  /** Whether this walker may write entries; one that only looks must not, and goes on as if it had. */
  updates = false;

  /** Memory reads since it was last set to 0. */
  reads = 0;
  /** Result of the last walk or table look-up. */
  outHi = 0;
  outLo = 0;
  /** Log2 of what the leaf stands for; of the smaller one after a nested walk. */
  leafShift = 0;
  /** Level of the leaf; of the first-stage leaf after a nested walk. */
  level = 0;
  perms = 0;
  tableHi = 0;
  tableLo = 0;
  /** Of a fault: stage, what the second stage translated, and the address that did not get through. */
  faultStage: 1 | 2 = 1;
  faultFor = FOR_INPUT;
  faultHi = 0;
  faultLo = 0;
  /** The fault came before an entry was read: its level, and for the second stage that of the first-stage table or -1. */
  faultUnread = false;
  faultLevel = 0;
  faultTable = -1;

  constructor(memory: Memory) {
    this.memory = memory;
    this.limitHi = Math.floor(memory.size / 4294967296);
    this.limitLo = memory.size % 4294967296;
  }

  /** Who sees the reads and updates of the next walk. */
  watch(visitor: ReadVisitor | null, updated: UpdateVisitor | null): void {
    this.visitor = visitor;
    this.updated = updated;
  }

  /** True when the address is beyond physical memory, so that a read ends in an error. */
  aborts(hi: number, lo: number): boolean {
    return hi > this.limitHi || hi < 0 || (hi === this.limitHi && lo >>> 0 >= this.limitLo);
  }

  /** Notes that the fault that was just set came before the entry of this level could be read. @returns the outcome */
  protected unread(outcome: number, level: number, tableLevel: number): number {
    this.faultUnread = true;
    this.faultLevel = level;
    this.faultTable = tableLevel;
    return outcome;
  }

  /** An atomic update of an entry's low half, of which one bit at least changes. */
  protected write(stage: 1 | 2, level: number, atHi: number, at: number, hi: number, lo: number, now: number): void {
    this.memory.write32((atHi >>> 0) * 4294967296 + (at >>> 0), now);
    this.updated?.(stage, level, atHi, at, hi, now, lo ^ now);
  }
}
