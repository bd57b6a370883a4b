import type { TraceEvent } from '../../engine/trace/index.ts';
import type { Ends, LadderNode } from './types.ts';

/**
 * Events of one class that follow one another between the same parties can be folded into one line; null for what stands
 * for itself.
 */
function runKey(e: TraceEvent, ends: Ends): string | null {
  const between = `${ends.from}>${ends.to ?? ''}`;
  switch (e.kind) {
    case 'memory.read':
    case 'cache.hit':
    case 'cache.fill':
      return `walk ${between}`;
    case 'trap':
      return `access ${ends.from}`;
    case 'register.write':
    case 'register.read':
      // An access that traps and its exit belong together.
      if (e.iommu === 'virtual' && ends.to !== null)
        return `access ${e.kind === 'register.write' ? ends.to : ends.from}`;
      return `${e.kind} ${between}`;
    case 'table.write':
    case 'command.post':
    case 'command.fetch':
    case 'cache.remove':
    case 'object.create':
    case 'object.destroy':
    case 'note':
      return `${e.kind} ${between}`;
    default:
      return null;
  }
}

/** Fewer are shown one by one. What an invalidation removes is what one wants to see. */
const shortest = (key: string): number => (/^(cache\.remove|access)/.test(key) ? 6 : 4);

const single = (i: number): LadderNode => ({ kind: 'event', first: i, last: i, children: [] });

function withRuns(nodes: readonly LadderNode[], events: readonly TraceEvent[], ends: readonly Ends[]): LadderNode[] {
  const keyOf = (n: LadderNode): string | null =>
    n.kind === 'event' ? runKey(events[n.first]!, ends[n.first]!) : null;
  const out: LadderNode[] = [];
  for (let i = 0; i < nodes.length; ) {
    const key = keyOf(nodes[i]!);
    let end = i + 1;
    if (key !== null) while (end < nodes.length && keyOf(nodes[end]!) === key) end++;
    if (key !== null && end - i >= shortest(key))
      out.push({ kind: 'run', first: nodes[i]!.first, last: nodes[end - 1]!.last, children: nodes.slice(i, end) });
    else for (let k = i; k < end; k++) out.push(nodes[k]!);
    i = end;
  }
  return out;
}

/**
 * A step's events as a tree: calls with what happened until they returned (the return is their last child, the entry is
 * the head itself), and long runs of one kind. Each event is in it once, in order.
 */
export function groupEvents(events: readonly TraceEvent[], ends: readonly Ends[]): readonly LadderNode[] {
  const stack: { readonly first: number; readonly nodes: LadderNode[] }[] = [{ first: -1, nodes: [] }];
  const top = (): LadderNode[] => stack[stack.length - 1]!.nodes;
  for (const [i, e] of events.entries()) {
    if (e.kind === 'ioctl.enter') stack.push({ first: i, nodes: [] });
    else if (e.kind === 'ioctl.exit' && stack.length > 1) {
      const call = stack.pop()!;
      const children = [...withRuns(call.nodes, events, ends), single(i)];
      top().push({ kind: 'call', first: call.first, last: i, children });
    } else top().push(single(i));
  }
  // A call that did not return by the end of the step is no group.
  while (stack.length > 1) {
    const call = stack.pop()!;
    top().push(single(call.first), ...call.nodes);
  }
  return withRuns(top(), events, ends);
}
