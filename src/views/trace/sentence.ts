import { type Band, bandOf, type TraceEvent } from '../../engine/trace/index.ts';
import { changesText, eventText } from './text.ts';

/** Columns of the cache that a scene object is; undefined where nothing is known of it. */
export type ColumnsOf = (id: string) => readonly string[] | undefined;

const hex = (v: bigint | number): string => `0x${v.toString(16)}`;
const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;

/** Who acts, at the beginning of a sentence. */
function subject(e: TraceEvent): string {
  switch (e.actor) {
    case 'guest':
      return 'The guest driver';
    case 'vmm':
      return 'The VMM';
    case 'iommufd':
      return 'iommufd';
    case 'driver':
      return 'The host driver';
    case 'iommu':
      return 'The IOMMU';
    case 'device':
      return 'device' in e ? e.device : 'The device';
  }
}

/** `IOTLB … VMID 3, ASID 1, VA 0x10000`: the cells with the names of their columns. */
function entryText(
  e: Extract<TraceEvent, { kind: 'cache.fill' | 'cache.hit' | 'cache.remove' }>,
  c?: ColumnsOf,
): string {
  const columns = c?.(e.at);
  return e.entry.cells
    .flatMap((cell, i) => {
      if (cell === '') return [];
      const name = columns?.[i];
      return [name === undefined || name === '' ? cell : `${name} ${cell}`];
    })
    .join(', ');
}

const end = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);
const more = (text: string): string => (text === '' ? '' : `: ${text}`);

/** A text of the engine that says who does what by itself, else after who acts. */
const told = (e: TraceEvent, text: string): string => end(`${subject(e)}: ${text}`);

/** An event as one sentence that needs no picture: who, what, with which values, and what became of what. */
export function eventSentence(e: TraceEvent, columns?: ColumnsOf): string {
  const who = subject(e);
  switch (e.kind) {
    case 'table.write':
      return end(`${who} writes ${e.text} at ${hex(e.address)} in ${e.space} memory`);
    case 'register.write':
      return end(`${who} writes ${hex(e.value)} to the ${e.iommu} register ${e.reg}`);
    case 'register.read':
      return end(`${who} reads ${hex(e.value)} from the ${e.iommu} register ${e.reg}`);
    case 'trap':
      return end(`VM exit${more(e.text)}`);
    case 'ioctl.enter':
      return end(`${who} calls ${e.call} on fd ${e.fd}${more(e.text.replace(e.call, '').trim())}`);
    case 'ioctl.exit':
      return end(eventText(e));
    case 'object.create':
      return end(`${who} creates ${eventText(e).replace(/^create /, '')}`);
    case 'object.destroy':
      return end(`${who} destroys ${eventText(e).replace(/^destroy /, '')}`);
    case 'attach':
      return end(`${who} attaches ${e.device} to HWPT ${e.hwpt}${e.text === '' ? '' : ` (${e.text})`}`);
    case 'command.post':
      return end(`${who} puts ${e.command.text} into entry ${e.index} of the ${e.queue} queue`);
    case 'command.fetch':
      return end(`${who} takes ${e.command.text} from entry ${e.index} of the ${e.queue} queue`);
    case 'command.rewrite':
      return end(`${who} rewrites ${e.from.text} to ${e.command.text}: ${spoken(changesText(e.changes))}`);
    case 'command.error':
      return end(`${who} stops at entry ${e.index} of the ${e.queue} queue with ${e.error}${more(e.text)}`);
    case 'sync':
      return end(`${who} has done everything up to the sync in the ${e.queue} queue${more(e.text)}`);
    case 'record.rewrite': {
      // What has changed is said as such, not twice.
      const changes = e.changes.length === 0 ? '' : ` (${spoken(changesText(e.changes))})`;
      const named = e.changes.length > 0 && e.changes.every((c) => e.text.includes(`${c.field} ${c.from}`));
      return end(`${who} rewrites ${spoken(e.text.replace(/^rewrite /, ''))}${named ? '' : changes}`);
    }
    case 'memory.read':
      return end(`${who} reads ${e.text} at ${hex(e.address)}`);
    case 'cache.fill':
      return end(`${e.entry.cache} gains ${entryText(e, columns)}`);
    case 'cache.hit':
      return end(`${e.entry.cache} answers with ${entryText(e, columns)}`);
    case 'cache.remove':
      return end(
        `${e.entry.cache} loses ${entryText(e, columns)}${e.by === '' ? '' : ` by ${e.by}`}${e.valid ? ', which was still valid' : ''}`,
      );
    case 'dma':
      return end(`${e.device} ${e.access}s ${hex(e.iova)}${e.pasid >= 0 ? ` with PASID ${e.pasid}` : ''}`);
    case 'dma.done':
      return end(`${e.device} reaches ${hex(e.pa)}${more(e.text)}`);
    case 'dma.abort':
      return end(`The access of ${e.device} is aborted${more(e.text)}`);
    case 'ats':
      return end(`${who}, ATS ${e.message}${e.actor === 'device' ? '' : ` with ${e.device}`}${more(e.text)}`);
    case 'page.request':
      return told(e, `${eventText(e)}, group ${e.group}`);
    case 'page.response':
      return end(
        `${who} answers page request group ${e.group} of ${e.device} with ${e.code}${e.auto ? ', without software' : ''}${more(e.text)}`,
      );
    case 'stall':
      return end(`The access of ${e.device} waits as STAG ${e.stag}${more(e.text)}`);
    case 'resume':
      return end(`The waiting access of ${e.device}, STAG ${e.stag}, goes on: ${e.action}${more(e.text)}`);
    case 'fault':
      return end(
        `${who} reports ${e.name}${more(e.text.replace(e.name, '').replace(/^[:\s]+/, ''))}${e.recorded ? '' : ', but the record is lost'}`,
      );
    case 'guest.event':
      return end(`The guest receives ${e.name}${more(e.text.replace(e.name, '').replace(/^[:\s]+/, ''))}`);
    case 'inject':
      return end(`Injected at ${e.point}: ${e.action}${more(e.text)}`);
    case 'note':
      return told(e, e.text);
  }
}

/** An arrow is no word. */
const spoken = (text: string): string => text.replaceAll(' → ', ' becomes ').replaceAll('→', 'becomes');

const order: readonly Band[] = ['guest', 'vmm', 'kernel', 'hardware'];
const bandNames: Readonly<Record<Band, string>> = {
  guest: 'Guest',
  vmm: 'VMM',
  kernel: 'Host kernel',
  hardware: 'Hardware',
};

/** Events that come in masses: their number says enough of a step as a whole. */
const massed: Readonly<Partial<Record<TraceEvent['kind'], readonly [string, string]>>> = {
  'table.write': ['table write', 'table writes'],
  'register.write': ['register write', 'register writes'],
  'register.read': ['register read', 'register reads'],
  'memory.read': ['memory read', 'memory reads'],
  trap: ['VM exit', 'VM exits'],
  'command.fetch': ['command fetched', 'commands fetched'],
  sync: ['sync', 'syncs'],
};
const most = 8;

/** What a step did, band by band from the guest down, without the picture: masses counted, all else said. */
export function stepSentences(events: readonly TraceEvent[], columns?: ColumnsOf): readonly string[] {
  return order.flatMap((band) => {
    const own = events.filter((e) => bandOf[e.actor] === band);
    if (own.length === 0) return [];
    const counts = new Map<TraceEvent['kind'], number>();
    const said: string[] = [];
    for (const e of own) {
      if (massed[e.kind]) counts.set(e.kind, (counts.get(e.kind) ?? 0) + 1);
      else if (e.kind === 'ioctl.exit' && e.errno === '0') continue;
      else said.push(eventSentence(e, columns));
    }
    const masses = [...counts].map(([k, n]) => count(n, massed[k]![0], massed[k]![1]));
    const rest = said.length - most;
    const head = masses.length > 0 ? [end(masses.join(', '))] : [];
    const tail = rest > 0 ? [`And ${count(rest, 'more event')}.`] : [];
    return [`${bandNames[band]}: ${[...head, ...said.slice(0, most), ...tail].join(' ')}`];
  });
}
