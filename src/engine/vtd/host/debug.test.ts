import { expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { A, attach, bed, dma, GPA, guestTable, nest, nested } from './testbed.ts';

const hex = (w: bigint): string => `0x${w.toString(16).padStart(16, '0')}`;

it('10.22: the dump of a nested fault walks the second stage with the guest’s own address', () => {
  const b = bed({ devices: [A], dmarDebug: true });
  const n = nest(b);
  const t = guestTable(b, GPA + 0x4000000);
  attach(b, n, nested(b, n, t.root));
  // A guest physical address of mapped memory, taken as an input address: the guest's table has nothing there.
  const iova = GPA + 0x200000;
  expect(dma(b, iova)).toMatchObject({ ok: false, fault: { name: 'SFS.2' } });
  runToEnd(b.driver.interrupt());
  const log = b.driver.log.slice(b.driver.log.findIndex((l) => l.includes('Dump')));
  const { words } = b.driver.pasidEntry(A.name, 0)!;
  const parent = b.driver.table([...b.driver.state.domains.values()].find((d) => d.kind === 'ss')!.handle)!;
  expect(log[0]).toBe(`DMAR: Dump dmar0 table entries for IOVA 0x${iova.toString(16)}`);
  expect(log[1]).toMatch(/^DMAR: scalable mode root entry: hi 0x0{16}, low 0x[0-9a-f]{15}1$/);
  expect(log[2]).toMatch(/^DMAR: context entry: hi 0x0{16}, low 0x[0-9a-f]{16}$/);
  expect(log[3]).toMatch(/^DMAR: pasid dir entry: 0x[0-9a-f]{16}$/);
  expect(log.slice(4, 12)).toEqual(words.map((w, i) => `DMAR: pasid table entry[${i}]: ${hex(w)}`));
  const levels = log.slice(12);
  expect(levels.map((l) => Number(/pte level: (\d)/.exec(l)?.[1]))).toEqual([5, 4, 3, 2]);
  // It ends in the leaf that maps that guest address, as if nothing were wrong.
  expect(levels.at(-1)).toBe(`DMAR: pte level: 2, pte value: ${hex(parent.lookup(iova)!.entry)}`);
});

it('of an entry that is not there says where the way ends', () => {
  const b = bed({ devices: [A], dmarDebug: true });
  dma(b, 0x1000);
  runToEnd(b.driver.interrupt());
  expect(b.driver.log.at(-1)).toBe('DMAR: pasid table is not present');
  dma(b, 0x1000, { pasid: 70 });
  runToEnd(b.driver.interrupt());
  expect(b.driver.log.at(-1)).toBe('DMAR: pasid table is not present');
});

it('nothing of this without CONFIG_DMAR_DEBUG', () => {
  const b = bed({ devices: [A] });
  dma(b, 0x1000);
  runToEnd(b.driver.interrupt());
  expect(b.driver.log.some((l) => l.includes('Dump'))).toBe(false);
});
