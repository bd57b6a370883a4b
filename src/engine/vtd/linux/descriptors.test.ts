import { describe, expect, it } from 'vitest';
import { decodeFeatures } from '../hardware/features.ts';
import { HOST } from './bench.ts';
import { capabilities } from './capabilities.ts';
import * as d from './descriptors.ts';
import { everything } from './range.ts';
import { wordsText } from './recording-unit.ts';

const c = capabilities(HOST.cap | (3n << 54n), HOST.ecap);
const a = { sid: 0x3b00, pfsid: 0, atsQdep: 32 };
const throttled = { sid: 0x3b00, pfsid: 0x3b01, atsQdep: 16 };
const pages = (address: bigint, mask: number) => ({ address, mask });

describe('9.1: descriptors', () => {
  it.each([
    [1, d.contextAll(), '0x0000000000000011 0x0000000000000000'],
    [2, d.contextDevice(0x3b00), '0x00003b0000000031 0x0000000000000000'],
    [4, d.pasidCacheAll(), '0x0000000000000037 0x0000000000000000'],
    [6, d.pasidCache(5, 0x1234), '0x0000123400050017 0x0000000000000000'],
    [7, d.iotlbAll(c), '0x00000000000000d2 0x0000000000000000'],
    [8, d.iotlbDomain(c, 5), '0x00000000000500e2 0x0000000000000000'],
    [9, d.iotlbDomain(c, 0), '0x00000000000000e2 0x0000000000000000'],
    [10, d.iotlbPages(c, 5, pages(0x80000000n, 9), false), '0x00000000000500f2 0x0000000080000009'],
    [11, d.iotlbPages(c, 5, pages(0x80001000n, 0), true), '0x00000000000500f2 0x0000000080001040'],
    [12, d.piotlbPasid(5, 0x1234), '0x0000123400050026 0x0000000000000000'],
    [13, d.piotlbPages(5, 0x1234, pages(0x7f0012340000n, 4), true), '0x0000123400050036 0x00007f0012340044'],
    [14, d.piotlbPages(2, 0, pages(0xfffff000n, 0), true), '0x0000000000020036 0x00000000fffff040'],
    [15, d.deviceTlb(a, pages(0x40000000n, 9)), '0x00003b0000000003 0x00000000400ff001'],
    [16, d.deviceTlb(throttled, pages(0xfffff000n, 0)), '0x3b003b0000101003 0x00000000fffff000'],
    [17, d.deviceTlbAll(a), '0x00003b0000000003 0x7ffffffffffff001'],
    [18, d.pasidDeviceTlb(a, 0x1234, pages(0x7f0012340000n, 4)), '0x000012343b000008 0x00007f0012347800'],
    [19, d.pasidDeviceTlb(throttled, 0x1234, everything), '0x3b0012343b001108 0x7ffffffffffff800'],
    [20, d.waitDescriptor(0x102345678, false), '0x0000000200000025 0x0000000102345678'],
    [21, d.waitDescriptor(0x102345678, true), '0x00000002000000a5 0x0000000102345678'],
    [22, d.fenceDescriptor(), '0x0000000200000045 0x0000000000000000'],
    [23, d.pageGroupResponse(0x3b00, 0x1234, 5, 0), '0x000012343b000019 0x0000000000000028'],
    [24, d.pageGroupResponse(0x3b00, 0x1234, 5, d.RESPONSE.failure), '0x000012343b002019 0x0000000000000028'],
  ])('number %i', (_n, words, expected) => {
    expect(wordsText(words)).toBe(expected);
    expect(words.slice(2)).toEqual([0n, 0n]);
  });

  it('drains reads and writes only where the unit can', () => {
    const none = capabilities(HOST.cap & ~(3n << 54n), HOST.ecap);
    expect(wordsText(d.iotlbDomain(none, 5))).toBe('0x0000000000050022 0x0000000000000000');
    expect(decodeFeatures(HOST.cap & ~(3n << 54n), HOST.ecap).dwd).toBe(false);
  });
});
