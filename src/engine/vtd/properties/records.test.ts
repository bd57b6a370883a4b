import { describe, expect, it } from 'vitest';
import { recordsAreInverse } from '../../properties/record-promises.ts';
import { vtdVendor } from '../index.ts';
import {
  decodeFault,
  descriptorLayout,
  descriptorTypes,
  encodeDescriptor,
  encodeFault,
  encodePageRequest,
  faultReasons,
} from '../layout/index.ts';

describe('every record of the vendor', () => {
  recordsAreInverse(vtdVendor.layouts);

  it('descriptors carry their type, in bits 3:0 and 11:9', () => {
    expect(Object.keys(descriptorTypes).length).toBe(9);
    for (const [name, type] of Object.entries(descriptorTypes)) {
      const words = encodeDescriptor(name, {});
      expect(words.length, name).toBe(4);
      expect((words[0]! & 0xfn) | ((words[0]! >> 5n) & 0x70n), name).toBe(BigInt(type));
      expect(descriptorLayout(words).name).toBe(name);
    }
  });

  it('fault records carry their reason', () => {
    for (const { code } of faultReasons) {
      const words = encodeFault(code, { SID: 0x3b00 });
      expect((words[1]! >> 32n) & 0xffn).toBe(BigInt(code));
      expect(words[1]! >> 63n).toBe(1n);
      expect(decodeFault(words)['FR']).toBe(BigInt(code));
    }
  });

  it('page requests are 9.8’s', () => {
    const q = { rid: 0x3b00, pasid: 0x1234, page: 0x7f0012345000n, group: 5, last: true, read: true, write: true };
    expect(encodePageRequest(q)).toEqual([0x0000_1234_3b00_0101n, 0x0000_7f00_1234_502fn, 0n, 0n]);
  });
});
