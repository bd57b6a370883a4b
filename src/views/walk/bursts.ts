import type { TraceEvent } from '../../engine/trace/index.ts';
import type { Request } from './types.ts';

/** An event with its position. */
export interface At<E extends TraceEvent = TraceEvent> {
  readonly event: number;
  readonly e: E;
}

/** What an IOMMU did for one translation, and what came of it. */
export interface Burst {
  readonly request: Request;
  /** Reads, hits, fills, updates and faults in order. */
  readonly acts: readonly At[];
  /** How it ended; null: the step ended before. */
  readonly end: At | null;
}

/** A request on its way. */
interface Pending {
  request: Request;
  /** Scene object of the device. */
  readonly place: string;
  /** The access for which the device asked for a translation. */
  readonly parent: Pending | null;
}

const isRecord = (what: string): boolean => what !== 'S1' && what !== 'S2' && what !== 'out';

/** Records of the configuration that a read or hit is about; empty: it is about tables. */
function recordsOf(e: TraceEvent): readonly string[] {
  if (e.kind === 'memory.read') return isRecord(e.step.what) ? [e.step.what] : [];
  if (e.kind !== 'cache.hit') return [];
  const rows = e.covers?.rows ?? [];
  // A second-stage hit for a record leaves the record to be read.
  return rows.filter((r) => r.entry && isRecord(r.what)).map((r) => r.what);
}

const aboutTables = (e: TraceEvent): boolean =>
  e.kind === 'memory.read'
    ? e.step.what === 'S1' || (e.step.what === 'S2' && (e.step.purpose === 'S1' || e.step.purpose === 'out'))
    : e.kind === 'cache.hit' && (e.covers?.rows ?? []).some((r) => !isRecord(r.what));

/**
 * Cuts the events of a step into translations. What an IOMMU does for one stands together and is followed by the message to
 * the device that ends it; a prefetch has no such message, so a new one begins where the configuration is looked up again.
 */
export function burstsOf(events: readonly TraceEvent[]): readonly Burst[] {
  const out: Burst[] = [];
  const pending: Pending[] = [];
  let acts: At[] = [];
  let seen = new Set<string>();
  let tables = false;
  let command = '';

  const take = (): At[] => {
    const taken = acts;
    acts = [];
    seen = new Set();
    tables = false;
    return taken;
  };
  const worthIt = (list: readonly At[]): boolean =>
    list.some(({ e }) => e.kind === 'memory.read' || e.kind === 'cache.hit');
  /** What no message ends: a command asked for it. */
  const flush = (): void => {
    const list = take();
    if (!worthIt(list)) return;
    const text = command === '' ? 'no request' : command;
    const request = {
      cause: 'command',
      device: '',
      access: '',
      iova: null,
      pasid: -1,
      at: list[0]!.event,
      text,
    } as const;
    out.push({ request, acts: list, end: null });
  };
  const find = (device: string, cause?: Request['cause']): Pending | undefined =>
    pending.find((p) => p.request.device === device && (cause === undefined || p.request.cause === cause));
  const drop = (p: Pending): void => {
    const i = pending.indexOf(p);
    if (i >= 0) pending.splice(i, 1);
  };
  const end = (p: Pending | undefined, device: string, at: At): void => {
    const list = take();
    const unknown = { cause: 'access', device, access: '', iova: null, pasid: -1, at: at.event, text: '' } as const;
    out.push({ request: p?.request ?? unknown, acts: list, end: at });
  };

  events.forEach((e, i) => {
    const at: At = { event: i + 1, e };
    switch (e.kind) {
      case 'dma':
        flush();
        pending.push({
          request: {
            cause: 'access',
            device: e.device,
            access: e.access,
            iova: e.iova,
            pasid: e.pasid,
            at: at.event,
            text: '',
          },
          place: e.at,
          parent: null,
        });
        break;
      case 'ats': {
        if (e.message === 'request') {
          flush();
          const parent = find(e.device, 'access') ?? null;
          const { iova = parent?.request.iova ?? null, pasid = parent?.request.pasid ?? -1, device } = e;
          const access = parent?.request.access ?? '';
          // The newest comes first: it is answered before the access goes on.
          pending.unshift({
            request: { cause: 'request', device, access, iova, pasid, at: at.event, text: '' },
            place: e.at,
            parent,
          });
        } else if (e.message === 'completion') {
          const p = find(e.device, 'request');
          end(p, e.device, at);
          if (!p) break;
          drop(p);
          if (p.parent) {
            // Without permissions the device stops; only a later event says so, and often none.
            const { request } = p.parent;
            if (e.pa === undefined) p.parent.request = { ...request, text: 'asked' };
            else p.parent.request = { ...request, cause: 'translated', at: at.event };
          }
        }
        break;
      }
      case 'page.request':
        if (e.actor === 'device') {
          flush();
          const { device } = e;
          pending.unshift({
            request: { cause: 'page request', device, access: '', iova: null, pasid: -1, at: at.event, text: e.text },
            place: e.at,
            parent: null,
          });
        } else {
          const p = find(e.device, 'page request');
          if (p) drop(p);
          if (p && worthIt(acts)) end(p, e.device, at);
          else take();
        }
        break;
      case 'resume':
        flush();
        pending.unshift({
          request: {
            cause: 'retry',
            device: e.device,
            access: '',
            iova: null,
            pasid: -1,
            at: at.event,
            text: e.text,
          },
          place: '',
          parent: null,
        });
        break;
      case 'command.fetch':
        flush();
        command = e.command.text;
        break;
      case 'dma.done':
      case 'dma.abort':
      case 'stall': {
        const p = find(e.device);
        if (p) drop(p);
        if (p?.parent) drop(p.parent);
        // What software ends, and what a device gives up after an answer, was not translated again.
        const quiet =
          e.kind === 'dma.abort' && p !== undefined && (p.request.cause === 'retry' || p.request.text === 'asked');
        if (quiet && !worthIt(acts)) take();
        else end(p, e.device, at);
        break;
      }
      case 'cache.hit':
        if (e.actor === 'device') {
          const p = pending.find((x) => x.place === e.at && x.request.cause === 'access');
          if (p) p.request = { ...p.request, cause: 'translated', atc: { entry: e.entry, at: e.at, event: at.event } };
          break;
        }
        add(at);
        break;
      case 'memory.read':
      case 'cache.fill':
      case 'table.write':
      case 'fault':
        if (e.actor === 'iommu') add(at);
        break;
    }
  });
  flush();
  return out;

  function add(at: At): void {
    const records = recordsOf(at.e);
    if (records.length > 0 && (tables || records.some((r) => seen.has(r)))) flush();
    for (const r of records) seen.add(r);
    if (aboutTables(at.e)) tables = true;
    acts.push(at);
  }
}
