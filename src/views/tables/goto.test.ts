import { describe, expect, it } from 'vitest';
import { parseGoal } from './goto.ts';

const names = { devices: ['nic0', 'gpu0'], guests: ['vm0', 'vm1'] };
const goal = (text: string) => {
  const r = parseGoal(text, names);
  return r.ok ? r.goal : r.text;
};

describe('going to an address', () => {
  it('reads what a person types', () => {
    expect(goal('0x1_0000')).toEqual({ kind: 'input', address: 0x10000n });
    expect(goal('ffff0000')).toEqual({ kind: 'input', address: 0xffff0000n });
    expect(goal(' nic0  0x10000 ')).toEqual({ kind: 'walk', device: 'nic0', address: 0x10000n });
    expect(goal('gpu0 pasid 5 0x10000')).toEqual({ kind: 'walk', device: 'gpu0', pasid: 5n, address: 0x10000n });
    expect(goal('SSID 5, 4096')).toEqual({ kind: 'walk', device: 'nic0', pasid: 5n, address: 4096n });
    expect(goal('host 0x1003')).toEqual({ kind: 'bytes', space: 'host', address: 0x1000 });
    expect(goal('vm1 0x40200000')).toEqual({ kind: 'bytes', space: 'guest', guest: 'vm1', address: 0x40200000 });
    expect(goal('0xffff_8000_0000_0000')).toEqual({ kind: 'input', address: 0xffff800000000000n });
  });

  it('says what is wrong', () => {
    expect(goal('')).toBe('Type an address.');
    expect(goal('nic0')).toBe('nic0 is not an address.');
    expect(goal('nic9 0x1000')).toBe('nic9 is no device and no memory here.');
    expect(goal('pasid x 0x1000')).toBe('PASID needs a number below 2^20.');
    expect(goal('99999999999999999999')).toBe('99999999999999999999 has more than 64 bits.');
    expect(goal('host 0x10000000000000')).toBe('0x10000000000000 is beyond 52 bits.');
    expect(goal('nic0 host 0x1000')).toBe('Name a device or a memory, not both.');
    expect(goal('<script>')).toBe('<script> is not an address.');
  });
});
