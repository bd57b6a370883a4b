import { Memory, PageAllocator } from '../../engine/memory/index.ts';
import { GenericTable, type TableFormat } from '../../engine/pagetable/generic-table.ts';
import { readAndClearDirty } from '../../engine/pagetable/generic-table-dirty.ts';
import { bestPageSize } from '../../engine/pagetable/page-sizes.ts';
import { Prot } from '../../engine/pagetable/vmsav8-table-format.ts';
import { secondStageFormat, secondStageSize } from '../../engine/pagetable/vtd-second-stage-table.ts';
import { firstStageSize, x86Format } from '../../engine/pagetable/x86-64-table.ts';
import { big, type Check, flag, list, Malformed, NotModelled, number, onlyKeys, record, same, text } from './value.ts';

/**
 * Checks of `pgtable`: the writer of page tables runs, in a memory of its own. The vectors count levels from 0, the engine from
 * 1; addresses are numbers, which hold them exactly.
 */

interface Format {
  make(features: readonly string[]): TableFormat;
  /** Levels for addresses of so many bits, and what the entry that points to the table says of it. */
  top(addressBits: number): { readonly levels: number; readonly fields: Readonly<Record<string, number>> };
}

const formats: Readonly<Record<string, Format>> = {
  vtdss: {
    make: (features) =>
      secondStageFormat({
        forceCoherence: features.includes('FORCE_COHERENCE'),
        forceWriteable: features.includes('FORCE_WRITEABLE'),
      }),
    top: (bits) => {
      // A unit that walks tables of that depth only.
      const { levels } = secondStageSize(1 << Math.ceil((bits - 30) / 9), bits)!;
      return { levels, fields: { aw: levels - 2 } };
    },
  },
  x86_64: {
    make: () => x86Format,
    top: (bits) => {
      const { levels } = firstStageSize({ fs5lp: true, fs1gp: true, mgaw: bits });
      return { levels, fields: { levels } };
    },
  },
};

/** Formats that are known but have no writer yet, and why. */
const notModelled: Readonly<Record<string, string>> = {
  amdv1: 'AMD-Vi is not modelled yet',
  'amdv1-2k': 'AMD-Vi is not modelled yet',
};

const FEATURES = ['FORCE_COHERENCE', 'FORCE_WRITEABLE'];
const SIZES = [2 ** 12, 2 ** 21, 2 ** 30];
const hex = (n: number | bigint): string => `0x${n.toString(16)}`;

/** The vector's format, which must be known before its other keys are looked at: those differ from format to format. */
function formatOf(v: Readonly<Record<string, unknown>>): { make: TableFormat; top: Format['top'] } {
  const name = text(v['format'], 'format');
  const reason = notModelled[name];
  if (reason !== undefined) throw new NotModelled(name, reason);
  const f = Object.hasOwn(formats, name) ? formats[name] : undefined;
  if (!f) throw new Malformed(`format: unknown format ${JSON.stringify(name)}`);
  const features = list(v['features'] ?? [], 'features').map((x) => text(x, 'features'));
  for (const x of features) if (!FEATURES.includes(x)) throw new Malformed(`features: unknown feature ${x}`);
  return { make: f.make(features), top: f.top };
}

interface Bench {
  readonly memory: Memory;
  readonly table: GenericTable;
}

/** An empty table of so many levels. */
function bench(format: TableFormat, levels = 5): Bench {
  const memory = new Memory(2 ** 52);
  const pages = new PageAllocator(2 ** 40, 2 ** 40 + 2 ** 30);
  const inputBits = 12 + 9 * levels;
  return { memory, table: new GenericTable(memory, pages, format, { levels, inputBits, pageSizes: SIZES }) };
}

/** Runs a change of a table to its end. */
function run<T>(change: Generator<unknown, T, void>): T {
  for (;;) {
    const r = change.next();
    if (r.done) return r.value;
  }
}

function protOf(v: unknown): number {
  const p = record(v, 'prot');
  onlyKeys(p, ['read', 'write'], 'prot');
  return (flag(p['read'], 'prot.read') ? Prot.read : 0) | (flag(p['write'], 'prot.write') ? Prot.write : 0);
}

const sizes: Check = (v) => {
  const format = formatOf(v).make;
  onlyKeys(v, ['name', 'kind', 'format', 'level', 'expect'], 'vector');
  const expect = record(v['expect'], 'expect');
  onlyKeys(expect, ['itemSizeLg2', 'leafSizesLg2'], 'expect');
  const level = number(v['level'], 'level', 4) + 1;
  const leaves = list(expect['leafSizesLg2'], 'expect.leafSizesLg2').map((x) => number(x, 'expect.leafSizesLg2'));
  const { table } = bench(format);
  // A page's way down names the span of every level's entry.
  let span = 0;
  for (const step of table.map(0, 0, 4096, Prot.read | Prot.write))
    if (step.kind === 'write' && step.level === level) span = step.size;
  // Room for one leaf of the level, if it can have one; above 1 GiB the whole would be many leaves.
  const one = Math.min(span, 2 ** 39);
  const second = bench(format).table;
  run(second.map(0, 0, one, Prot.read | Prot.write));
  const found = second.lookup(0)!.level === level ? [Math.log2(span)] : [];
  return (
    same('itemSizeLg2', String(number(expect['itemSizeLg2'], 'expect.itemSizeLg2')), String(Math.log2(span))) ??
    same('leafSizesLg2', leaves.join(), found.join())
  );
};

const leaf: Check = (v) => {
  const format = formatOf(v).make;
  onlyKeys(v, ['name', 'kind', 'format', 'level', 'oa', 'sizeLg2', 'prot', 'features', 'expect'], 'vector');
  const expect = record(v['expect'], 'expect');
  onlyKeys(expect, ['entry', 'count', 'itemStep'], 'expect');
  const size = 2 ** number(v['sizeLg2'], 'sizeLg2', 52);
  const level = number(v['level'], 'level', 4) + 1;
  const { table } = bench(format);
  const done = run(table.map(0, number(v['oa'], 'oa'), size, protOf(v['prot'])));
  const found = table.lookup(0);
  if (done.errno !== '0' || !found) return same('errno', '0', done.errno);
  return (
    same('level', String(level - 1), String(found.level - 1)) ??
    same('entry', hex(big(expect['entry'], 'expect.entry')), hex(found.entry)) ??
    same('count', String(number(expect['count'], 'expect.count')), String(size / found.size)) ??
    same('itemStep', hex(big(expect['itemStep'], 'expect.itemStep')), hex(found.size))
  );
};

const tableEntry: Check = (v) => {
  const format = formatOf(v).make;
  onlyKeys(v, ['name', 'kind', 'format', 'level', 'pa', 'expect'], 'vector');
  const expect = record(v['expect'], 'expect');
  onlyKeys(expect, ['entry'], 'expect');
  const e = format.table(number(v['pa'], 'pa'));
  const word = (BigInt(e.hi) << 32n) | BigInt(e.lo);
  return (
    same('entry', hex(big(expect['entry'], 'expect.entry')), hex(word)) ??
    same('kind', 'table', format.kind(e.lo, e.hi, number(v['level'], 'level', 4) + 1))
  );
};

const decode: Check = (v) => {
  const format = formatOf(v).make;
  onlyKeys(v, ['name', 'kind', 'format', 'level', 'entry', 'expect'], 'vector');
  const expect = record(v['expect'], 'expect');
  onlyKeys(expect, ['type', 'oa', 'sizeLg2', 'pa'], 'expect');
  const level = number(v['level'], 'level', 4) + 1;
  // The entry is the first of a top table of that level.
  const { memory, table } = bench(format, level);
  const entry = big(v['entry'], 'entry');
  memory.writeWord(table.root, entry);
  const kind = format.kind(Number(entry & 0xffffffffn), Number(entry >> 32n), level);
  const wrong = same('type', text(expect['type'], 'expect.type'), kind);
  if (wrong || kind === 'empty') return wrong;
  if (kind === 'table') {
    // A large leaf in the next table shows that the entry leads there.
    const mark = format.leaf(Prot.read | Prot.write, 2);
    const pa = number(expect['pa'], 'expect.pa');
    memory.writeWord(pa - (pa % 4096), (BigInt(mark.hi) << 32n) | BigInt(mark.lo));
    return same('pa', hex(pa), hex(table.lookup(0)?.address ?? -1));
  }
  const found = table.lookup(0)!;
  return (
    same('oa', hex(big(expect['oa'], 'expect.oa')), hex(found.oa)) ??
    same('sizeLg2', String(number(expect['sizeLg2'], 'expect.sizeLg2')), String(Math.log2(found.size)))
  );
};

const dirty: Check = (v) => {
  const format = formatOf(v).make;
  onlyKeys(v, ['name', 'kind', 'format', 'level', 'clean', 'dirty'], 'vector');
  const { memory, table } = bench(format, number(v['level'], 'level', 4) + 1);
  const [clean, written] = [big(v['clean'], 'clean'), big(v['dirty'], 'dirty')];
  const answer = (word: bigint): string => {
    memory.writeWord(table.root, word);
    const r = run(readAndClearDirty(table, memory, 0, 4096));
    return `${r.dirty.length ? 'dirty' : 'clean'}, then ${hex(memory.readWord(table.root))}`;
  };
  return (
    same('clean leaf', `clean, then ${hex(clean)}`, answer(clean)) ??
    same('dirty leaf', `dirty, then ${hex(clean)}`, answer(written))
  );
};

const refused: Check = (v) => {
  const format = formatOf(v).make;
  onlyKeys(v, ['name', 'kind', 'format', 'prot', 'features', 'expect'], 'vector');
  const expect = record(v['expect'], 'expect');
  onlyKeys(expect, ['errno'], 'expect');
  const r = run(bench(format).table.map(0, 0, 4096, protOf(v['prot'])));
  return same('errno', text(expect['errno'], 'expect.errno'), r.errno);
};

const map: Check = (v) => {
  const format = formatOf(v).make;
  onlyKeys(v, ['name', 'kind', 'format', 'va', 'oa', 'length', 'expect'], 'vector');
  const expect = record(v['expect'], 'expect');
  onlyKeys(expect, ['entriesBySizeLg2', 'translate'], 'expect');
  const { table } = bench(format);
  const [va, length] = [number(v['va'], 'va'), number(v['length'], 'length')];
  const done = run(table.map(va, number(v['oa'], 'oa'), length, Prot.read | Prot.write));
  const wrong = same('errno', '0', done.errno);
  if (wrong) return wrong;
  const counts = new Map<number, number>();
  for (let at = va; at < va + length; ) {
    const { size } = table.lookup(at)!;
    counts.set(Math.log2(size), (counts.get(Math.log2(size)) ?? 0) + 1);
    at += size;
  }
  const line = (c: readonly (readonly [number, number])[]): string =>
    [...c]
      .sort(([a], [b]) => a - b)
      .map(([size, n]) => `${n} of 2^${size}`)
      .join(', ');
  const wanted = Object.entries(record(expect['entriesBySizeLg2'], 'expect.entriesBySizeLg2')).map(
    ([size, n]) => [number(size, 'expect.entriesBySizeLg2'), number(n, 'expect.entriesBySizeLg2')] as const,
  );
  let different = same('entries', line(wanted), line([...counts]));
  for (const x of list(expect['translate'], 'expect.translate')) {
    const t = record(x, 'expect.translate');
    onlyKeys(t, ['va', 'pa'], 'expect.translate');
    const at = number(t['va'], 'expect.translate.va');
    different ??= same(hex(at), hex(big(t['pa'], 'expect.translate.pa')), hex(table.lookup(at)?.oa ?? -1));
  }
  return different;
};

const unmap: Check = (v) => {
  const format = formatOf(v).make;
  onlyKeys(v, ['name', 'kind', 'format', 'map', 'unmap', 'expect'], 'vector');
  const expect = record(v['expect'], 'expect');
  onlyKeys(expect, ['unmapped'], 'expect');
  const m = record(v['map'], 'map');
  const u = record(v['unmap'], 'unmap');
  onlyKeys(m, ['va', 'oa', 'length'], 'map');
  onlyKeys(u, ['va', 'length'], 'unmap');
  const { table } = bench(format);
  const length = number(m['length'], 'map.length');
  run(table.map(number(m['va'], 'map.va'), number(m['oa'], 'map.oa'), length, Prot.read | Prot.write));
  const r = run(table.unmap(number(u['va'], 'unmap.va'), number(u['length'], 'unmap.length')));
  return same('unmapped', hex(big(expect['unmapped'], 'expect.unmapped')), hex(r.unmapped));
};

const top: Check = (v) => {
  const topOf = formatOf(v).top;
  onlyKeys(v, ['name', 'kind', 'format', 'addressBits', 'expect'], 'vector');
  const { topLevel, ...rest } = record(v['expect'], 'expect');
  const { levels, fields } = topOf(number(v['addressBits'], 'addressBits', 64));
  let wrong = same('topLevel', String(number(topLevel, 'expect.topLevel')), String(levels - 1));
  onlyKeys(rest, Object.keys(fields), 'expect');
  for (const [field, value] of Object.entries(fields))
    wrong ??= same(field, String(number(rest[field], `expect.${field}`)), String(value));
  return wrong;
};

const best: Check = (v) => {
  onlyKeys(v, ['name', 'kind', 'pageSizes', 'va', 'last', 'oa', 'expect'], 'vector');
  const expect = record(v['expect'], 'expect');
  onlyKeys(expect, ['sizeLg2'], 'expect');
  const found = bestPageSize(
    big(v['pageSizes'], 'pageSizes'),
    big(v['va'], 'va'),
    big(v['last'], 'last'),
    big(v['oa'], 'oa'),
  );
  return same('sizeLg2', String(number(expect['sizeLg2'], 'expect.sizeLg2')), String(found));
};

export const pgtableChecks: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  pgtable: { sizes, leaf, table: tableEntry, decode, dirty, refused, map, unmap, top, best },
};
