/** What a guest's kernel remembers of the mappings in one address space. */

export type Perm = 'r' | 'w' | 'rw';

export interface Mapping {
  readonly iova: number;
  readonly size: number;
  readonly gpa: number;
  readonly perm: Perm;
}

/** How an unmap is flushed: at once, later by the flush queue, or never (a driver that forgets). */
export type FlushMode = 'strict' | 'queued' | 'none';

/** Unmaps that a flush queue holds (IOVA_DEFAULT_FQ_SIZE, of which a ring leaves one empty). */
export const QUEUE_ENTRIES = 255;

/** The mappings without [from, to). */
export function cutMappings(list: readonly Mapping[], from: number, to: number): Mapping[] {
  return list.flatMap((m) => {
    const end = m.iova + m.size;
    if (end <= from || m.iova >= to) return [m];
    const rest: Mapping[] = [];
    if (m.iova < from) rest.push({ ...m, size: from - m.iova });
    if (end > to) rest.push({ ...m, iova: to, gpa: m.gpa + (to - m.iova), size: end - to });
    return rest;
  });
}

/** Ascending by address. */
export const withMapping = (list: readonly Mapping[], m: Mapping): Mapping[] =>
  [...list, m].sort((a, b) => a.iova - b.iova);
