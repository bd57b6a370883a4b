import { Memory, type MemorySnapshot } from '../memory/index.ts';

/** One memory of each size, emptied for each case: making one costs more than a case. */
const memories = new Map<number, { memory: Memory; empty: MemorySnapshot }>();

/** @param bits log2 of the bytes */
export function emptyMemory(bits: number): Memory {
  let m = memories.get(bits);
  if (!m) {
    const memory = new Memory(2 ** bits);
    memories.set(bits, (m = { memory, empty: memory.save() }));
  }
  m.memory.load(m.empty);
  return m.memory;
}
