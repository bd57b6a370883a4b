import { describe, expect, it } from 'vitest';
import { Memory, PageAllocator } from '../memory/index.ts';
import { secondStagePages, secondStageSize, secondStageTable } from './vtd-second-stage-table.ts';

const RW = 3;

function leaf(features: { forceCoherence?: boolean; forceWriteable?: boolean }, prot: number, size = 4096) {
  const memory = new Memory(2 ** 52);
  const pages = new PageAllocator(0x100300000, 0x100400000);
  const o = { levels: 4, inputBits: 48, pageSizes: secondStagePages(3), ...features };
  const table = secondStageTable(memory, pages, o);
  const change = table.map(0x80000000, 0x180000000, size, prot);
  for (;;) {
    const r = change.next();
    if (r.done) return { errno: r.value.errno, entry: table.lookup(0x80000000)?.entry ?? null, table, memory };
  }
}

/** Words of `intel-vtd.md` 1.7 and 9.2. */
describe('entries', () => {
  it.each([
    [{}, RW, 4096, 0x180000003n],
    [{ forceCoherence: true }, RW, 4096, 0x180000803n],
    [{ forceCoherence: true }, RW, 2 ** 21, 0x180000883n],
    [{ forceCoherence: true }, RW, 2 ** 30, 0x180000883n],
    [{}, 1, 4096, 0x180000001n],
    [{}, 2, 4096, 0x180000002n],
  ])('%o prot %i, %i bytes', (features, prot, size, entry) => {
    expect(leaf(features, prot, size)).toMatchObject({ errno: '0', entry });
  });

  it('a table is R and W and nothing else', () => {
    const { table, memory } = leaf({ forceCoherence: true }, RW);
    expect(memory.readWord(table.root)).toBe(0x100301003n);
  });

  it('10.1: a nest parent refuses read-only mappings', () => {
    expect(leaf({ forceWriteable: true }, 1)).toMatchObject({ errno: 'EINVAL', entry: null });
    expect(leaf({ forceWriteable: true }, 2).errno).toBe('0');
  });
});

/** `intel-vtd.md` 5.4: depth and width by SAGAW and MGAW. */
it.each([
  ['10.2: a current server part', 0xc, 57, { levels: 5, inputBits: 57 }],
  ['MGAW above 57', 0xc, 60, { levels: 5, inputBits: 57 }],
  ['five levels for 48 bits', 0xc, 48, { levels: 5, inputBits: 48 }],
  ['five levels only', 0x8, 46, { levels: 5, inputBits: 46 }],
  ['four levels', 0x6, 48, { levels: 4, inputBits: 48 }],
  ['four levels, narrow', 0x6, 39, { levels: 4, inputBits: 39 }],
  ['three levels', 0x2, 39, { levels: 3, inputBits: 39 }],
  ['three levels, wide MGAW', 0x2, 57, { levels: 3, inputBits: 39 }],
  ['five of the two for 39 bits', 0xa, 39, { levels: 5, inputBits: 39 }],
  ['none', 0x0, 57, null],
  ['too narrow', 0xe, 30, null],
])('%s', (_, sagaw, mgaw, size) => {
  expect(secondStageSize(sagaw, mgaw)).toEqual(size);
});
