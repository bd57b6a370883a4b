import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hexBytes, packBytes, readNumber, readReference, readRid, ridText, toBigint, unpackBytes } from './number.ts';

describe('numbers', () => {
  test.each([
    ['0x1f', 31n],
    ['4096', 4096n],
    ['4KiB', 4096n],
    ['1GiB', 1n << 30n],
    ['3TiB', 3n << 40n],
    ['0xffffffffffffffff', (1n << 64n) - 1n],
    ['0x4010_0000', 0x40100000n],
    ['-1', -1n],
    ['007', 7n],
  ])('%s', (text, v) => expect(readNumber(text)).toBe(v));

  test.each([
    '',
    '0x',
    '4KB',
    '4 KiB',
    '1.5',
    '1e3',
    '0b1',
    '0x1KiB',
    '+1',
    ' 1',
    '0x1__0',
    `0x${'f'.repeat(100)}`,
    'KiB',
  ])('%j is none', (text) => expect(readNumber(text)).toBeUndefined());

  test('decimal and hexadecimal notation give the same number', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), (n) => {
        expect(readNumber(n.toString())).toBe(n);
        expect(readNumber(`0x${n.toString(16)}`)).toBe(n);
        expect(readNumber(`0X${n.toString(16).toUpperCase()}`)).toBe(n);
      }),
    );
  });

  test('doubles that have lost precision are no numbers', () => {
    expect(toBigint(2 ** 53 - 1)).toBe(9007199254740991n);
    expect(toBigint(2 ** 53)).toBeUndefined();
    expect(toBigint(0.5)).toBeUndefined();
    expect(toBigint(true)).toBeUndefined();
  });
});

test('references', () => {
  expect(readReference('$a')).toEqual({ name: 'a', add: 0n });
  expect(readReference('$a_1+0x1000')).toEqual({ name: 'a_1', add: 4096n });
  expect(readReference('$a-4KiB')).toEqual({ name: 'a', add: -4096n });
  expect(readReference('a')).toBeUndefined();
  expect(readReference(5)).toBeUndefined();
  for (const bad of ['$', '$1', '$a+', '$a+x', '$a b', '$a+1+1']) expect(readReference(bad)).toBeNull();
});

describe('requester ids', () => {
  test.each([
    ['0000:01:00.0', 0x100],
    ['01:1f.7', 0x1ff],
    ['0000:00:01.0', 8],
    ['0001:80:1e.3', 0x180f3],
    ['0x108', 0x108],
    [264, 264],
  ])('%s', (text, rid) => expect(readRid(text)).toBe(rid));

  test.each(['0000:01:20.0', '0000:01:00.8', '01:00', '1:00:00:0.0', '0x100000000', -1, null])('%j is none', (v) =>
    expect(readRid(v)).toBeUndefined(),
  );

  test('text and number are the same id', () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), (rid) => {
        expect(readRid(ridText(rid))).toBe(rid);
      }),
    );
  });
});

test('packing is little-endian', () => {
  expect([...packBytes([0x0102n], 4)]).toEqual([2, 1, 0, 0]);
  expect(unpackBytes(hexBytes('efbeadde00000000ff'), 8)).toEqual([0xdeadbeefn]);
  fc.assert(
    fc.property(fc.array(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })), (v) => {
      expect(unpackBytes(packBytes(v, 8), 8)).toEqual(v);
    }),
  );
});
