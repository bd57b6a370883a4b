import type { Op } from '../machine/index.ts';

/** The host kernel as one process reaches it; a `KernelProcess` is one. */
export interface HostKernel {
  /** `fd` 0 is /dev/iommu. `input` and `out` go by uAPI field names. */
  ioctl(c: {
    call: string;
    fd: number;
    input: Readonly<Record<string, unknown>> | null;
    /** Scene object of the caller. */
    at?: string;
  }): Op<{ errno: string; out: Record<string, unknown> }>;
  /** Whether the device has a vfio cdev. */
  hasDevice(device: string): boolean;
  /** A new fd of the device's vfio cdev. */
  openDevice(device: string): number;
  close(fd: number): Op<{ errno: string }>;
  /** Never blocks; whole records. */
  read(fd: number, count: number): { errno: string; out: { records: readonly Readonly<Record<string, unknown>>[] } };
  /** Answers on a fault queue's fd. */
  write(fd: number, records: readonly unknown[]): Op<{ errno: string }>;
}

export type Ioctl = Op<{ errno: string; out: Record<string, unknown> }>;

/** A numeric output. */
export const outputOf = (out: Readonly<Record<string, unknown>>, name: string): number => Number(out[name] ?? 0);

/**
 * A little-endian word of a structure that an ioctl gave back as hex bytes.
 * @param bytes 4 or 8; what lies beyond the structure's end reads as 0
 */
export function wordOf(hexBytes: string, offset: number, bytes: 4 | 8): bigint {
  const hex = hexBytes.slice(offset * 2, (offset + bytes) * 2).padEnd(bytes * 2, '0');
  return BigInt(`0x${hex.match(/../g)!.reverse().join('')}`);
}
