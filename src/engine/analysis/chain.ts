import type { TraceEvent } from '../trace/index.ts';

/** Events that start work of which later events are a part. */
const isCommand = (e: TraceEvent): boolean => e.kind === 'command.fetch' && e.actor === 'iommu';

/**
 * The event of the same step that an event follows from: the post of what is fetched, the call in which the kernel acts, the
 * command that a call carries, the access that a walk serves. -1: the step itself.
 *
 * The trace does not name causes; they follow from who acts and from what is under way.
 */
export function causeOf(events: readonly TraceEvent[], index: number): number {
  const e = events[index];
  if (!e) return -1;
  switch (e.actor) {
    case 'guest':
      return e.kind === 'register.write' || e.kind === 'register.read' ? lastPost(events, index) : -1;
    case 'vmm':
      return ofVmm(events, index, e);
    case 'iommufd':
      return openCall(events, index);
    case 'driver':
      return ofDriver(events, index, e);
    case 'iommu':
    case 'device':
      return ofHardware(events, index, e);
  }
}

/** The chain of causes of an event, itself first, up to what the step began with. */
export function chainOf(events: readonly TraceEvent[], index: number): number[] {
  const out: number[] = [];
  for (let i = index; i >= 0 && i < events.length && !out.includes(i); i = causeOf(events, i)) out.push(i);
  return out;
}

function last(events: readonly TraceEvent[], before: number, is: (e: TraceEvent) => boolean): number {
  for (let i = before - 1; i >= 0; i--) if (is(events[i]!)) return i;
  return -1;
}

/** The ioctl that has been entered and not left. */
function openCall(events: readonly TraceEvent[], before: number): number {
  let left = 0;
  for (let i = before - 1; i >= 0; i--) {
    const e = events[i]!;
    if (e.kind === 'ioctl.exit') left++;
    else if (e.kind === 'ioctl.enter' && left-- === 0) return i;
  }
  return -1;
}

/** A doorbell follows from the entry that was posted before it. */
function lastPost(events: readonly TraceEvent[], before: number): number {
  const e = events[before - 1];
  return e?.kind === 'command.post' && e.actor === events[before]!.actor ? before - 1 : -1;
}

/** The post of a queue entry that is fetched. */
function postOf(events: readonly TraceEvent[], before: number, queue: string, index: number, text: string): number {
  return last(
    events,
    before,
    (x) => x.kind === 'command.post' && x.queue === queue && x.index === index && x.command.text === text,
  );
}

function ofVmm(events: readonly TraceEvent[], index: number, e: TraceEvent): number {
  if (e.kind === 'command.fetch') {
    const post = postOf(events, index, e.queue, e.index, e.command.text);
    if (post >= 0) return post;
  }
  if (e.kind === 'guest.event')
    return last(events, index, (x) => x.kind === 'fault' || (x.kind === 'page.request' && x.recorded !== undefined));
  // While the guest waits for its trap, what the VMM does is about what it has fetched, or about the access that trapped.
  const i = last(events, index, (x) => x.actor === 'guest' || x.kind === 'trap' || isFetchOfVmm(x));
  const found = events[i];
  if (!found) return -1;
  if (found.actor === 'guest')
    return e.kind === 'trap' && found.kind === 'register.write' && e.text.includes(found.reg) ? i : -1;
  return e.kind === 'trap' ? -1 : i;
}

const isFetchOfVmm = (e: TraceEvent): boolean => e.kind === 'command.fetch' && e.actor === 'vmm';

function ofDriver(events: readonly TraceEvent[], index: number, e: TraceEvent): number {
  const call = openCall(events, index);
  if (e.kind === 'command.post') {
    const rewrite = last(events, index, (x) => x.kind === 'command.rewrite' && x.command.text === e.command.text);
    if (rewrite > call) return rewrite;
  }
  if (e.kind === 'table.write') {
    // What a rewritten record becomes in memory.
    const rewrite = last(events, index, (x) => x.kind === 'record.rewrite' && x.to === e.at && x.layout === e.layout);
    if (rewrite > call) return rewrite;
  }
  if (call >= 0) return call;
  return last(events, index, (x) => x.kind === 'fault' || (x.kind === 'page.request' && x.recorded !== undefined));
}

function ofHardware(events: readonly TraceEvent[], index: number, e: TraceEvent): number {
  switch (e.kind) {
    case 'dma':
    case 'resume':
      return -1;
    case 'command.fetch':
      return postOf(events, index, e.queue, e.index, e.command.text);
    case 'register.write':
      return openCall(events, index);
    case 'command.error':
    case 'sync':
      return last(events, index, isCommand);
    case 'cache.remove': {
      const command = last(events, index, isCommand);
      const c = events[command];
      if (c?.kind === 'command.fetch' && c.command.text === e.by) {
        // A device removes what a message tells it to.
        const message = last(events, index, (x) => x.kind === 'ats' && x.message === 'invalidate');
        return e.actor === 'device' && message > command ? message : command;
      }
      return access(events, index);
    }
    case 'ats':
      if (e.message === 'invalidated' || e.message === 'timeout')
        return last(events, index, (x) => x.kind === 'ats' && x.message === 'invalidate' && x.device === e.device);
      if (e.message === 'invalidate') return last(events, index, isCommand);
      if (e.message === 'request') return last(events, index, (x) => x.kind === 'dma' && x.device === e.device);
      return last(events, index, (x) => x.kind === 'ats' && x.message === 'request' && x.device === e.device);
    default:
      return Math.max(access(events, index), last(events, index, isCommand));
  }
}

/** The access or translation request that hardware serves. */
function access(events: readonly TraceEvent[], before: number): number {
  let answered = 0;
  for (let i = before - 1; i >= 0; i--) {
    const e = events[i]!;
    if (e.kind === 'ats' && e.message === 'completion' && !fills(events[before]!)) answered++;
    else if (e.kind === 'ats' && e.message === 'request' && answered-- <= 0) return i;
    else if (e.kind === 'dma' || e.kind === 'resume') return i;
    else if (e.kind === 'dma.done' || e.kind === 'dma.abort') return -1;
  }
  return -1;
}

/** A device keeps the answer to its own request. */
const fills = (e: TraceEvent): boolean => e.kind === 'cache.fill' && e.actor === 'device';
