import type { TraceEvent } from '../trace/index.ts';

/**
 * The position in a step at which most objects exist that its ends do not have: after the last creation before the first
 * destruction that follows one. Null when nothing of the kind happens. The end of such a step shows fewer than there were.
 */
export function crowdedAt(events: readonly TraceEvent[]): number | null {
  let created = -1;
  for (const [i, e] of events.entries()) {
    if (e.kind === 'object.create') created = i;
    else if (e.kind === 'object.destroy' && created >= 0) return created + 1;
  }
  return null;
}
