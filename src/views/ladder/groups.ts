import type { TraceEvent } from '../../engine/trace/index.ts';
import type { Ends, LadderNode } from './types.ts';

/** Events of one class that follow one another between the same parties can be folded into one line. */
function runClass(e: TraceEvent): string | null {
  switch (e.kind) {
    case 'memory.read':
    case 'cache.hit':
    case 'cache.fill':
      return 'walk';
    case 'table.write':
    case 'register.write':
    case 'register.read':
    case 'command.post':
    case 'command.fetch':
    case 'cache.remove':
    case 'object.create':
    case 'object.destroy':
    case 'note':
      return e.kind;
    default:
      return null;
  }
}

/** Fewer are shown one by one. What an invalidation removes is what one wants to see. */
const shortest = (c: string): number => (c === 'cache.remove' ? 6 : 4);

const single = (i: number): LadderNode => ({ kind: 'event', first: i, last: i, children: [] });

function withRuns(nodes: readonly LadderNode[], events: readonly TraceEvent[], ends: readonly Ends[]): LadderNode[] {
  const out: LadderNode[] = [];
  for (let i = 0; i < nodes.length; ) {
    const n = nodes[i]!;
    const c = n.kind === 'event' ? runClass(events[n.first]!) : null;
    let end = i + 1;
    if (c !== null)
      while (
        end < nodes.length &&
        nodes[end]!.kind === 'event' &&
        ends[nodes[end]!.first] === ends[n.first] &&
        runClass(events[nodes[end]!.first]!) === c
      )
        end++;
    if (c !== null && end - i >= shortest(c))
      out.push({ kind: 'run', first: n.first, last: nodes[end - 1]!.last, children: nodes.slice(i, end) });
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
