import type { TraceEvent } from './events.ts';

const hex = (v: number | bigint): string => `0x${v.toString(16)}`;
const changes = (e: { readonly changes: readonly { field: string; from: string; to: string }[] }): string =>
  e.changes.map((c) => `${c.field} ${c.from} -> ${c.to}`).join(', ');

/** Number of an entry within its cache: those of the devices' caches begin at multiples of 2^24 (`PciDevice`). */
const entryNumber = (id: number): number => id % 0x1000000;

/** What an event says, in one line, without its actor and place. */
export function eventText(e: TraceEvent): string {
  switch (e.kind) {
    case 'table.write':
      return `${e.text} (${e.space} ${hex(e.address)}: ${e.words.map(hex).join(' ')})`;
    case 'register.write':
      return `${e.iommu} ${e.reg} <- ${hex(e.value)}`;
    case 'register.read':
      return `${e.iommu} ${e.reg} -> ${hex(e.value)}`;
    case 'command.post':
    case 'command.fetch':
      return `${e.queue} queue [${e.index}] ${e.command.text}`;
    case 'command.rewrite':
      return `${e.from.text} => ${e.command.text}${e.changes.length ? ` (${changes(e)})` : ''}`;
    case 'command.error':
      return `${e.queue} queue [${e.index}] ${e.error}: ${e.text}`;
    case 'record.rewrite':
      return `${e.text}${e.changes.length ? ` (${changes(e)})` : ''}`;
    case 'memory.read':
      return `${e.text} (${hex(e.address)}: ${e.words.map(hex).join(' ')})`;
    case 'cache.fill':
    case 'cache.hit':
      return `${e.entry.cache} #${entryNumber(e.entry.id)} ${e.entry.cells.join(' ')}`;
    case 'cache.remove':
      return `${e.entry.cache} #${entryNumber(e.entry.id)} ${e.entry.cells.join(' ')}, by ${e.by}${e.valid ? ' (was still valid)' : ''}`;
    case 'fault':
      return e.recorded ? e.text : `${e.text} (not recorded)`;
    case 'ioctl.enter':
    case 'ioctl.exit':
    case 'object.create':
    case 'object.destroy':
    case 'attach':
    case 'trap':
    case 'sync':
    case 'dma':
    case 'dma.done':
    case 'dma.abort':
    case 'ats':
    case 'page.request':
    case 'page.response':
    case 'stall':
    case 'resume':
    case 'guest.event':
    case 'inject':
    case 'note':
      return e.text;
  }
}

/** An event as a line of a text trace: actor, kind, where (and where to), what. */
export function eventLine(e: TraceEvent): string {
  const place = e.to ? `${e.at} > ${e.to}` : e.at;
  return `${e.actor.padEnd(7)} ${e.kind.padEnd(15)} ${place}  ${eventText(e)}`;
}
