export const PAGE_SIZE = 4096;
/** 32-bit words in a page. */
export const PAGE_WORDS = 1024;

/**
 * What a CPU-side actor reads and writes through: host physical memory, or the guest's window onto it.
 * Addresses are numbers below 2^52; words are naturally aligned.
 */
export interface Bus {
  contains(address: number, bytes?: number): boolean;
  readWord(address: number): bigint;
  writeWord(address: number, value: bigint): void;
  read32(address: number): number;
  write32(address: number, value: number): void;
  readBytes(address: number, length: number): Uint8Array;
  writeBytes(address: number, bytes: Uint8Array): void;
}
