import type { Actor, TraceEvent } from '../../engine/trace/index.ts';

/** Actors as a reader knows them. */
export const actorNames: Readonly<Record<Actor, string>> = {
  guest: 'guest',
  vmm: 'VMM',
  iommufd: 'iommufd',
  driver: 'host driver',
  iommu: 'IOMMU',
  device: 'device',
};

const hex = (v: bigint | number): string => `0x${v.toString(16)}`;
const row = (e: { readonly cache: string; readonly cells: readonly string[] }): string =>
  `${e.cache} ${e.cells.filter((c) => c !== '').join(' ')}`;
const where = (queue: string, index: number): string => `${queue} queue [${index}]`;
const joined = (...parts: readonly string[]): string => parts.filter((p) => p !== '').join(' ');

/** Several texts of the engine begin with what the sentence says anyway. */
const after = (prefix: string, text: string): string =>
  text.toLowerCase().startsWith(prefix.toLowerCase()) ? text : joined(prefix, text);

/** One event as one line of text, without its actor and place. */
export function eventText(e: TraceEvent): string {
  switch (e.kind) {
    case 'table.write':
      return `write ${hex(e.address)} (${e.space} memory): ${e.text}`;
    case 'register.write':
      return `write ${e.iommu} ${e.reg} = ${hex(e.value)}`;
    case 'register.read':
      return `read ${e.iommu} ${e.reg} = ${hex(e.value)}`;
    case 'trap':
      return after('trap', e.text);
    case 'ioctl.enter':
      return after(e.call, e.text);
    case 'ioctl.exit':
      return resultText(e.call, e.errno, e.text);
    case 'object.create':
      return `create ${after(`${e.type} ${e.id}`, e.text)}`;
    case 'object.destroy':
      return `destroy ${after(`${e.type} ${e.id}`, e.text)}`;
    case 'attach':
      return e.text === '' ? `attach ${e.device} to HWPT ${e.hwpt}` : e.text;
    case 'command.post':
      return `post ${e.command.text} to ${where(e.queue, e.index)}`;
    case 'command.fetch':
      return `fetch ${e.command.text} from ${where(e.queue, e.index)}`;
    case 'command.rewrite':
      return `rewrite ${e.command.name}: ${changesText(e.changes)}`;
    case 'command.error':
      return `${e.error} at ${where(e.queue, e.index)}${e.text === '' ? '' : `: ${e.text}`}`;
    case 'sync':
      return after('sync', e.text);
    case 'record.rewrite':
      return joined(after('rewrite', e.text), e.changes.length === 0 ? '' : `(${changesText(e.changes)})`);
    case 'memory.read':
      return `read ${hex(e.address)}: ${e.text}`;
    case 'cache.fill':
      return `fill ${row(e.entry)}`;
    case 'cache.hit':
      return `hit ${row(e.entry)}`;
    case 'cache.remove':
      return `remove ${row(e.entry)}${e.valid ? ', still valid' : ''}${e.by === '' ? '' : ` (by ${e.by})`}`;
    case 'dma':
      return e.text === '' ? `${e.device} ${e.access}s ${hex(e.iova)}` : e.text;
    case 'dma.done':
      return e.text === '' ? `${e.device} reaches ${hex(e.pa)}` : e.text;
    case 'dma.abort':
      return e.text === '' ? `${e.device}: access aborted` : e.text;
    case 'ats':
      return e.text === '' ? `ATS ${e.message}, ${e.device}` : e.text;
    case 'page.request':
      return e.recorded === false ? `${e.text} (not recorded)` : e.text;
    case 'page.response':
    case 'stall':
    case 'resume':
      return e.text;
    case 'fault':
      return `${after(e.name, e.text)}${e.recorded ? '' : ' (not recorded)'}`;
    case 'guest.event':
      return `guest receives ${after(e.name, e.text)}`;
    case 'inject':
      return after('inject', e.text);
    case 'note':
      return e.text;
  }
}

/** The engine's text may repeat the call and its success, which the line says already. */
function resultText(call: string, errno: string, text: string): string {
  const detail = (text.startsWith(call) ? text.slice(call.length) : text).trim().replace(/^(ok|-?E[A-Z]+)\b:?\s*/, '');
  return `${call} returns ${errno === '0' ? '0' : `-${errno}`}${detail === '' ? '' : `: ${detail}`}`;
}

/** `vmid 0 → 3, sid 0x8 → 0x100` */
export const changesText = (
  changes: readonly { readonly field: string; readonly from: string; readonly to: string }[],
) => (changes.length === 0 ? 'unchanged' : changes.map((c) => `${c.field} ${c.from} → ${c.to}`).join(', '));
