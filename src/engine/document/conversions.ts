import type { Operation } from '../machine/vendor.ts';

/** How a field of a document becomes a field of an operation. */
export type Take = 'same' | 'number' | 'bigint' | 'numbers' | 'bigints' | 'bytes' | 'tree' | 'command';

/** What it takes to run a checked step; everything else about a field stands in its definition. */
export interface Conversion {
  readonly take: Take;
  /** What holds when the field is left out, in the document's notation. */
  readonly default?: string | number | boolean | readonly string[];
  readonly min?: bigint;
  readonly max?: bigint;
  /** Written as a size, or in hexadecimal. */
  readonly size?: boolean;
  readonly hex?: boolean;
}

export const U64 = (1n << 64n) - 1n;
export const U32 = (1n << 32n) - 1n;
/** Physical and intermediate physical addresses: 52 bits. */
export const PA = (1n << 52n) - 1n;

/**
 * Every operation's fields in the format's order. A page that only plays a document loads this and not the definitions
 * with their schemas and texts; a test holds the two equal.
 */
export const conversions: Readonly<Record<Operation['do'], Readonly<Record<string, Conversion>>>> = {
  'guest.attach': {
    guest: { take: 'same' },
    device: { take: 'same' },
    domain: { take: 'same' },
    pasid: { take: 'number', max: 1048575n },
    cdTable: { take: 'same' },
  },
  'guest.detach': {
    guest: { take: 'same' },
    device: { take: 'same' },
    pasid: { take: 'number', max: 1048575n },
  },
  'guest.bind': {
    guest: { take: 'same' },
    device: { take: 'same' },
    process: { take: 'same' },
    pasid: { take: 'number', max: 1048575n },
  },
  'guest.unbind': {
    guest: { take: 'same' },
    device: { take: 'same' },
    process: { take: 'same' },
  },
  'guest.exit': {
    guest: { take: 'same' },
    process: { take: 'same' },
  },
  'guest.map': {
    guest: { take: 'same' },
    domain: { take: 'same', default: 'dma0' },
    iova: { take: 'bigint', max: U64, hex: true },
    gpa: { take: 'number', max: PA, hex: true },
    size: { take: 'number', default: '4KiB', min: 1n, max: PA, size: true },
    perm: { take: 'same', default: 'rw' },
    present: { take: 'same', default: true },
  },
  'guest.unmap': {
    guest: { take: 'same' },
    domain: { take: 'same', default: 'dma0' },
    iova: { take: 'bigint', max: U64, hex: true },
    size: { take: 'number', default: '4KiB', min: 1n, max: PA, size: true },
    flush: { take: 'same', default: 'strict' },
  },
  'guest.flush': {
    guest: { take: 'same' },
    domain: { take: 'same' },
  },
  'guest.invalidate': {
    guest: { take: 'same' },
    unit: { take: 'same' },
    command: { take: 'command' },
    bytes: { take: 'bytes', hex: true },
  },
  'guest.boot': {
    guest: { take: 'same' },
  },
  'device.dma': {
    device: { take: 'same' },
    pasid: { take: 'number', max: 1048575n },
    iova: { take: 'bigint', max: U64, hex: true },
    access: { take: 'same', default: 'read' },
    length: { take: 'number', default: 4, min: 1n, max: 65536n, size: true },
    ats: { take: 'same', default: 'untranslated' },
  },
  'device.ats': {
    device: { take: 'same' },
    pasid: { take: 'number', max: 1048575n },
    iova: { take: 'bigint', max: U64, hex: true },
    access: { take: 'same', default: 'read' },
    length: { take: 'number', default: '4KiB', min: 1n, max: 1073741824n, size: true },
  },
  'device.pri': {
    device: { take: 'same' },
    pasid: { take: 'number', max: 1048575n },
    iova: { take: 'bigint', max: U64, hex: true },
    access: { take: 'same', default: 'read' },
    group: { take: 'number', default: 0, max: 511n },
    last: { take: 'same', default: true },
  },
  'device.reset': {
    device: { take: 'same' },
  },
  'vmm.start': {
    guest: { take: 'same' },
  },
  'vmm.plug': {
    guest: { take: 'same' },
    device: { take: 'same' },
  },
  'vmm.unplug': {
    guest: { take: 'same' },
    device: { take: 'same' },
  },
  'vmm.map': {
    guest: { take: 'same' },
    gpa: { take: 'number', max: PA, hex: true },
    size: { take: 'number', default: '2MiB', min: 1n, max: PA, size: true },
  },
  'vmm.unmap': {
    guest: { take: 'same' },
    gpa: { take: 'number', max: PA, hex: true },
    size: { take: 'number', default: '2MiB', min: 1n, max: PA, size: true },
  },
  'vmm.queue': {
    guest: { take: 'same' },
    index: { take: 'number', default: 0, max: 127n },
    gpa: { take: 'number', max: PA, hex: true },
    size: { take: 'number', default: '4KiB', min: 32n, max: 16777216n, size: true },
  },
  ioctl: {
    guest: { take: 'same' },
    call: { take: 'same' },
    fd: { take: 'number', default: 0, max: 2147483647n },
    in: { take: 'tree' },
    size: { take: 'number', max: U32 },
    tail: { take: 'same', hex: true },
  },
  'fd.open': {
    guest: { take: 'same' },
    fd: { take: 'number', max: 2147483647n },
    device: { take: 'same' },
  },
  'fd.close': {
    guest: { take: 'same' },
    fd: { take: 'number', max: 2147483647n },
  },
  'fd.read': {
    guest: { take: 'same' },
    fd: { take: 'number', max: 2147483647n },
    count: { take: 'number', max: U32 },
  },
  'fd.write': {
    guest: { take: 'same' },
    fd: { take: 'number', max: 2147483647n },
    records: { take: 'tree' },
  },
  'fd.mmap': {
    guest: { take: 'same' },
    fd: { take: 'number', max: 2147483647n },
    offset: { take: 'bigint', max: U64, hex: true },
    length: { take: 'bigint', max: U64, hex: true },
  },
  'fd.munmap': {
    guest: { take: 'same' },
    area: { take: 'bigint', max: U64, hex: true },
  },
  'memory.write': {
    guest: { take: 'same' },
    space: { take: 'same' },
    at: { take: 'number', max: PA, hex: true },
    u8: { take: 'numbers', max: 255n },
    u32: { take: 'numbers', max: U32 },
    u64: { take: 'bigints', max: U64 },
    hex: { take: 'bytes', hex: true },
  },
  'memory.read': {
    guest: { take: 'same' },
    space: { take: 'same' },
    at: { take: 'number', max: PA, hex: true },
    length: { take: 'number', min: 1n, max: 1048576n, size: true },
  },
  'register.write': {
    guest: { take: 'same' },
    iommu: { take: 'same', default: 'physical' },
    unit: { take: 'same' },
    reg: { take: 'same' },
    value: { take: 'bigint', max: U64, hex: true },
  },
  'register.read': {
    guest: { take: 'same' },
    iommu: { take: 'same', default: 'physical' },
    unit: { take: 'same' },
    reg: { take: 'same' },
  },
  inject: {
    at: { take: 'same' },
    action: { take: 'same' },
    count: { take: 'number', default: 1, min: 1n, max: 1000000n },
    xor: { take: 'bigints', default: ['0x0', '0x1000'] },
  },
};
