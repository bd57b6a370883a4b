import type { TraceEvent } from '../trace/index.ts';

/** What a search looks through: the words of an event and the addresses that it covers. */

/** Names of the columns of a cache, by its scene id. */
export type ColumnsOf = (at: string) => readonly string[] | undefined;

const hex = (v: bigint | number): string => `0x${v.toString(16)}`;
const hexes = (words: readonly bigint[]): string => words.map(hex).join(' ');

/** Numbers as one writes them without grouping: `0x1_0000` becomes `0x10000`. */
export const plainNumbers = (text: string): string =>
  text.replace(/0x[0-9a-f]+(?:_[0-9a-f]{4})+/gi, (n) => n.replaceAll('_', ''));

/** `vmid 3`: a cell with the name of its column. */
function cellsText(cells: readonly string[], columns: readonly string[] | undefined): string {
  return cells.map((c, i) => (c === '' ? '' : `${columns?.[i] ?? ''} ${c}`)).join(', ');
}

function fields(value: unknown): string {
  if (typeof value === 'bigint') return `${hex(value)} ${value}`;
  if (typeof value === 'number') return value > 9 ? `${value} ${hex(value)}` : `${value}`;
  if (typeof value === 'string') return value.length > 64 ? '' : value;
  if (Array.isArray(value)) return value.map(fields).join(' ');
  if (typeof value === 'object' && value !== null)
    return Object.entries(value)
      .map(([name, v]) => `${name} ${fields(v)}`)
      .join(', ');
  return '';
}

function own(e: TraceEvent, columnsOf: ColumnsOf): string {
  switch (e.kind) {
    case 'table.write':
      return `${e.text} ${hex(e.address)} ${hexes(e.words)}`;
    case 'memory.read':
      return `${e.step.what} ${e.text} ${hex(e.address)} ${hexes(e.words)}`;
    case 'register.write':
    case 'register.read':
      return `${e.iommu} ${e.reg} ${hex(e.value)}`;
    case 'ioctl.enter':
      return `${e.call} ${e.text}, ${fields(e.input)}`;
    case 'ioctl.exit':
      return `${e.call} ${e.errno === '0' ? '' : e.errno} ${e.text}, ${fields(e.output)}`;
    case 'object.create':
    case 'object.destroy':
      return `${e.type} ${e.id} ${e.text}`;
    case 'attach':
      return `attach ${e.device} hwpt ${e.hwpt} ${e.text}`;
    case 'command.post':
    case 'command.fetch':
      return `${e.command.name} ${e.command.text} ${hexes(e.command.words)}`;
    case 'command.rewrite':
      return `${e.from.text} ${e.command.text} ${changed(e.changes)} ${hexes(e.command.words)}`;
    case 'record.rewrite':
      return `${e.text} ${changed(e.changes)} ${hexes(e.words)}`;
    case 'command.error':
      return `${e.error} ${e.text}`;
    case 'cache.fill':
    case 'cache.hit':
      return `${e.entry.cache} ${cellsText(e.entry.cells, columnsOf(e.at))}`;
    case 'cache.remove':
      return `${e.entry.cache} ${cellsText(e.entry.cells, columnsOf(e.at))}, ${e.valid ? 'still valid ' : ''}by ${e.by}`;
    case 'dma':
      return `${e.device} ${e.access} iova ${hex(e.iova)} ${e.pasid >= 0 ? `pasid ${e.pasid}` : ''} ${e.text}`;
    case 'dma.done':
      return `${e.device} pa ${hex(e.pa)} ${e.text}`;
    case 'fault':
    case 'guest.event':
      return `${e.name} ${e.text} ${hexes(e.words)}`;
    case 'ats':
      return `${e.device} ATS ${e.message} ${e.text}`;
    case 'page.request':
    case 'page.response':
      return `${e.device} group ${e.group} ${e.text}`;
    case 'stall':
    case 'resume':
      return `${e.device} stag ${e.stag} ${e.text}`;
    case 'dma.abort':
      return `${e.device} ${e.text}`;
    case 'inject':
      return `${e.point} ${e.action} ${e.text}`;
    case 'trap':
    case 'sync':
    case 'note':
      return e.text;
  }
}

const changed = (changes: readonly { readonly field: string; readonly from: string; readonly to: string }[]): string =>
  changes.map((c) => `${c.field} ${c.from}, ${c.field} ${c.to}`).join(', ');

/** All that is said in an event, in lower case, without line breaks, numbers ungrouped. */
export const wordsOf = (e: TraceEvent, columnsOf: ColumnsOf): string =>
  plainNumbers(`${e.kind} ${own(e, columnsOf)}`)
    .toLowerCase()
    .replaceAll('\n', ' ');

/** A range of addresses [from, to) that an event is about. */
export interface Covered {
  readonly from: number;
  readonly to: number;
}

const units: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** What of memory or of an address space an event covers beyond the addresses that its words name. */
export function coveredBy(e: TraceEvent): Covered[] {
  if (e.kind === 'table.write' || e.kind === 'memory.read')
    return [{ from: e.address, to: e.address + e.words.length * 8 }];
  if (e.kind !== 'cache.fill' && e.kind !== 'cache.hit' && e.kind !== 'cache.remove') return [];
  const size = e.entry.cells.map((c) => /^(\d{1,4})([KMGT])$/.exec(c)).find((m) => m !== null);
  if (!size) return [];
  const bytes = Number(size[1]) * units[size[2]!]!;
  return e.entry.cells
    .filter((c) => /^0x[0-9a-f_]+$/i.test(c))
    .map((c) => Number(c.replaceAll('_', '')))
    .map((from) => ({ from, to: from + bytes }));
}
