import { describe, expect, it } from 'vitest';
import { recordsAreInverse } from '../../properties/record-promises.ts';
import { smmuv3Vendor } from '../index.ts';
import { commandLayouts, encodeCommand, encodeEvent, eventLayouts, opcodes } from '../layout/index.ts';

describe('every record of the vendor', () => {
  recordsAreInverse(smmuv3Vendor.layouts);

  it('commands and events carry their code', () => {
    for (const [name, opcode] of Object.entries(opcodes))
      expect(encodeCommand(name, {})[0]! & 0xffn, name).toBe(BigInt(opcode));
    // CFGI_ALL is CFGI_STE_RANGE by another name, or has a layout of its own.
    expect(commandLayouts.length).toBeGreaterThanOrEqual(new Set(Object.values(opcodes)).size);
    for (const l of eventLayouts) {
      const words = encodeEvent(l.name, {});
      expect(words.length, l.name).toBe(4);
      expect(words[0]! & 0xffn, l.name).not.toBe(0n);
    }
  });
});
