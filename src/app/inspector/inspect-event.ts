import { hex, type Layout } from '../../engine/bits/index.ts';
import type { InspectedRecord, Inspection } from '../../engine/machine/index.ts';
import type { Change, CommandText, TraceEvent } from '../../engine/trace/index.ts';
import { actorNames, eventText } from '../../views/trace/text.ts';

/** An inspection of one event, with what a rewrite changed. */
export interface EventInspection extends Inspection {
  readonly changes: readonly Change[];
}

type Fact = Inspection['facts'][number];
type FindLayout = (id: string) => Layout | undefined;

const titles: Readonly<Record<TraceEvent['kind'], string>> = {
  'table.write': 'Table write',
  'register.write': 'Register write',
  'register.read': 'Register read',
  trap: 'VM exit',
  'ioctl.enter': 'ioctl',
  'ioctl.exit': 'ioctl returns',
  'object.create': 'Object created',
  'object.destroy': 'Object destroyed',
  attach: 'Attach',
  'command.post': 'Command posted',
  'command.fetch': 'Command fetched',
  'command.rewrite': 'Command rewritten',
  'command.error': 'Command error',
  sync: 'Sync',
  'record.rewrite': 'Record rewritten',
  'memory.read': 'Table read',
  'cache.fill': 'Cache entry filled',
  'cache.hit': 'Cache hit',
  'cache.remove': 'Cache entry removed',
  dma: 'DMA',
  'dma.done': 'DMA done',
  'dma.abort': 'DMA aborted',
  ats: 'ATS message',
  'page.request': 'Page request',
  'page.response': 'Page response',
  stall: 'Stalled transaction',
  resume: 'Stalled transaction resumed',
  fault: 'Fault',
  'guest.event': 'Event in the guest',
  inject: 'Injected fault',
  note: 'Note',
};

function valueText(v: unknown): string {
  if (typeof v === 'bigint') return hex(v);
  if (typeof v === 'number') return v < 4096 ? String(v) : hex(v);
  if (typeof v === 'string') return v;
  return JSON.stringify(v, (_, x) => (typeof x === 'bigint' ? hex(x) : x));
}

const factsOf = (o: Readonly<Record<string, unknown>>): Fact[] =>
  Object.entries(o).map(([name, v]) => ({ name, value: valueText(v) }));

/** Everything of an event that can be shown: its record bit by bit where it has one, else its facts. */
export function inspectEvent(e: TraceEvent, find: FindLayout): EventInspection {
  const records: InspectedRecord[] = [];
  const facts: Fact[] = [];
  let changes: readonly Change[] = [];
  const record = (
    title: string,
    layout: string,
    words: readonly bigint[],
    more: Partial<InspectedRecord> = {},
  ): void => {
    const l = find(layout);
    if (l) records.push({ title, layout: l, words, ...more });
  };
  const command = (title: string, c: CommandText): void => record(title, c.layout, c.words);
  const fact = (name: string, value: unknown): void => {
    facts.push({ name, value: valueText(value) });
  };
  switch (e.kind) {
    case 'table.write':
      record(e.text, e.layout, e.words, { address: e.address, space: e.space });
      if (records.length === 0) fact('address', hex(e.address));
      break;
    case 'memory.read':
      record(e.text, e.layout, e.words, { address: e.address, space: 'host' });
      if (e.step.level >= 0) fact('level', e.step.level);
      if (e.step.purpose) fact('translated for', e.step.purpose);
      break;
    case 'register.write':
    case 'register.read':
      fact('IOMMU', e.iommu);
      fact('register', e.reg);
      fact('value', e.value);
      // The layouts of one vendor are there at a time.
      for (const vendor of ['smmuv3', 'vtd']) record(e.reg, `${vendor}.reg.${e.reg.toLowerCase()}`, [e.value]);
      break;
    case 'ioctl.enter':
      fact('file', e.fd);
      facts.push(...factsOf(e.input));
      break;
    case 'ioctl.exit':
      fact('result', e.errno === '0' ? 'success' : e.errno);
      facts.push(...factsOf(e.output));
      break;
    case 'object.create':
    case 'object.destroy':
      fact('type', e.type);
      fact('id', e.id);
      break;
    case 'attach':
      fact('device', e.device);
      fact('HWPT', e.hwpt);
      break;
    case 'command.post':
    case 'command.fetch':
      fact('queue', e.queue);
      fact('index', e.index);
      command(e.command.text, e.command);
      break;
    case 'command.rewrite':
      changes = e.changes;
      command('after', e.command);
      command('before', e.from);
      break;
    case 'record.rewrite':
      changes = e.changes;
      record(e.text, e.layout, e.words);
      break;
    case 'command.error':
      fact('queue', e.queue);
      fact('index', e.index);
      fact('error', e.error);
      break;
    case 'sync':
      fact('queue', e.queue);
      break;
    case 'cache.fill':
    case 'cache.hit':
    case 'cache.remove':
      fact('cache', e.entry.cache);
      fact('entry', e.entry.cells.filter((c) => c !== '').join(' · '));
      if (e.kind === 'cache.remove') {
        if (e.by !== '') fact('removed by', e.by);
        fact('was', e.valid ? 'still valid: a fresh walk gives the same' : 'not valid any more');
      }
      break;
    case 'dma':
      fact('device', e.device);
      fact('access', e.access);
      fact('IOVA', hex(e.iova));
      fact('PASID', e.pasid < 0 ? 'none' : e.pasid);
      break;
    case 'dma.done':
      fact('device', e.device);
      fact('physical address', hex(e.pa));
      break;
    case 'fault':
    case 'guest.event':
      record(e.name, e.layout, e.words);
      if (e.kind === 'fault') fact('recorded', e.recorded ? 'yes' : 'no');
      break;
    case 'page.request':
      record('PRI queue record', e.layout, e.words);
      fact('device', e.device);
      fact('group', e.group);
      if (e.recorded !== undefined) fact('recorded', e.recorded ? 'yes' : 'no');
      break;
    case 'page.response':
      fact('device', e.device);
      fact('group', e.group);
      fact('response', e.code);
      fact('by', e.auto ? 'the IOMMU itself' : 'a command of software');
      break;
    case 'stall':
    case 'resume':
      fact('device', e.device);
      fact('STAG', hex(e.stag));
      if (e.kind === 'resume') fact('action', e.action);
      break;
    case 'inject':
      fact('point', e.point);
      fact('action', e.action);
      break;
    case 'trap':
    case 'dma.abort':
    case 'ats':
    case 'note':
      break;
  }
  return { title: titles[e.kind], subtitle: `${actorNames[e.actor]}: ${eventText(e)}`, records, facts, changes };
}
