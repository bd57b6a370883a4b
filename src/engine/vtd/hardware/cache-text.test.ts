import { describe, expect, it } from 'vitest';
import type { TranslationCache } from '../../cache/index.ts';
import { cacheColumns, configCells, translationCells } from './cache-text.ts';
import { IOVA, type Shape, WalkMachine } from './walk-machine.ts';

function cells(c: TranslationCache): string[][] {
  const out: string[][] = [];
  c.forEach((i) => {
    out.push(translationCells(c, i));
  });
  return out;
}

function machine(shape: Shape, prepare: (m: WalkMachine) => void = () => {}): WalkMachine {
  const m = new WalkMachine(shape);
  prepare(m);
  m.dma();
  return m;
}

const iotlb = (shape: Shape, prepare?: (m: WalkMachine) => void) => cells(machine(shape, prepare).unit.caches.iotlb);

describe('cached entries as text', () => {
  it('IOTLB: tag, type, translation, size, permissions', () => {
    const page = ['0x1234_5000', '0x1_1020_0000', '4K'];
    expect(iotlb({ pasid: 0x12 })).toEqual([['5', '0x12', 'nested', ...page, 'rw']]);
    expect(iotlb({ pgtt: 1 })).toEqual([['5', '0x0', 'FS', ...page, 'rw']]);
    expect(iotlb({ pgtt: 2 })).toEqual([['5', '0x0', 'SS', ...page, 'rw']]);
    expect(iotlb({ pgtt: 0 })).toEqual([['5', '0x0', 'SS', ...page, 'rw']]);
    expect(iotlb({ pgtt: 4 })).toEqual([['5', '0x0', 'PT', '0x1234_5000', '0x1234_5000', '4K', 'rw']]);
    expect(iotlb({}, (m) => m.flip(m.fsEntry(IOVA), 0x40n))).toEqual([['5', '0x0', 'nested', ...page, 'rw clean']]);
    expect(iotlb({}, (m) => m.flip(m.fsEntry(IOVA), 2n))).toEqual([['5', '0x0', 'nested', ...page, 'r- priv rw']]);
    expect(iotlb({ entry: { PGSNP: 1, WPE: 1 } }, (m) => m.flip(m.fsEntry(IOVA), 2n))).toEqual([
      ['5', '0x0', 'nested', ...page, 'r- snp'],
    ]);
    expect(iotlb({ pgtt: 2, features: { CM: true } }, (m) => m.write(m.ssEntry(IOVA), 0n))).toEqual([
      ['5', '0x0', 'absent', '0x1234_5000', '–', '4K', '--'],
    ]);
  });

  it('paging-structure caches: tag, prefix, table, level', () => {
    const { caches } = machine({ pasid: 0x12 }).unit;
    expect(cells(caches.fswalk)).toEqual([
      ['5', '0x12', '0x0', '0x1_1010_1000', 'L3'],
      ['5', '0x12', '0x0', '0x1_1010_2000', 'L2'],
      ['5', '0x12', '0x1220_0000', '0x1_1010_3000', 'L1'],
    ]);
    expect(cells(caches.sswalk).map((c) => [c[2], c[4]])).toEqual([
      ['0x0', 'L3'],
      ['0x0', 'L2'],
      ['0x1000_0000', 'L1'],
      ['0x1020_0000', 'L1'],
    ]);
  });

  it('context and PASID cache', () => {
    const { caches } = machine({ pasid: 0x12 }).unit;
    const [context] = caches.context.values();
    const [entry] = caches.pasid.get(0x3b42)!.values();
    expect(configCells('Context', context!)).toEqual(['0x3b42', 'directory 0x102_0000 DTE PASIDE PRE']);
    expect(configCells('PASID', entry!)).toEqual(['0x3b42', '0x12', '5', 'nested']);
    const [legacy] = machine({ pgtt: 0, context: { TT: 1 } }).unit.caches.context.values();
    expect(configCells('Context', legacy!)).toEqual(['0x3b42', 'SS, ATS did 5']);
  });

  it('what caching mode keeps', () => {
    const CM = { features: { CM: true } };
    const [context] = machine(CM, (m) => m.flip(m.contextEntry, 1n)).unit.caches.context.values();
    expect(configCells('Context', context!)).toEqual(['0x3b42', 'not present']);
    const { caches } = machine(CM, (m) => m.flip(m.pasidEntry, 0x400n)).unit;
    const [entry] = caches.pasid.get(0x3b42)!.values();
    expect(configCells('PASID', entry!)).toEqual(['0x3b42', '0x0', '–', 'illegal']);
  });

  it('there is a column for each cell', () => {
    const { caches } = machine({}).unit;
    for (const c of caches.translation()) expect(cells(c)[0]).toHaveLength(cacheColumns[c.name]!.length);
    const m = new WalkMachine();
    m.ats();
    expect(cells(m.device.atc)).toEqual([['–', '0x1234_5000', '0x1_1020_0000', '4K', 'rw']]);
    expect(cacheColumns.ATC).toHaveLength(5);
  });
});
