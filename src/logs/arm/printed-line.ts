/** The two lines in words that newer kernels print after a raw record, as facts and one sentence. */

import { hexPlain } from '../../engine/bits/index.ts';
import type { Draft } from '../record.ts';
import type { EventFacts } from './event.ts';
import { eventPlace, explainEvent } from './event.ts';
import type { AccessLine, EventLine } from './messages.ts';
import { classTexts } from './messages.ts';

export const omitUndefined = (o: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined));

const hex = (v: bigint | null): string | undefined => (v === null ? undefined : hexPlain(v));

/** Facts of the first line: what happened, to whom, where. */
export const lineFields = (c: EventLine): Record<string, unknown> =>
  omitUndefined({
    event: c.event,
    client: c.client ?? undefined,
    sid: hex(c.sid),
    ssid: hex(c.ssid),
    iova: hex(c.iova),
    ipa: hex(c.ipa),
    fetch_addr: hex(c.fetchAddr),
  });

/** Facts of the second line: which access, which stage, which class. */
export const accessFields = (c: AccessLine): Record<string, unknown> =>
  omitUndefined({
    privileged: c.privileged,
    instruction: c.instruction ?? undefined,
    access: c.access ?? undefined,
    stage: c.stage ?? undefined,
    class_text: c.classText ?? undefined,
    ttd_access: c.ttd ?? undefined,
    stall: c.stall ?? undefined,
    stag: hex(c.stag),
  });

/** Gives the record its sentence and place from the lines that are there. */
export function explainLine(draft: Draft, line: EventLine | null, access: AccessLine | null): void {
  const cls = access?.classText ? classTexts.indexOf(access.classText as (typeof classTexts)[number]) : -1;
  const facts: EventFacts = {
    event: line?.event ?? 'UNKNOWN',
    sid: line?.sid ?? undefined,
    ssid: line?.ssid ?? undefined,
    client: line?.client ?? undefined,
    access: access?.access ?? undefined,
    instruction: access?.instruction ?? undefined,
    privileged: access?.privileged,
    stage: access?.stage ?? undefined,
    class: cls >= 0 ? cls : undefined,
    address: line?.iova ?? undefined,
    ipa: access?.stage === 2 ? (line?.ipa ?? undefined) : undefined,
    fetchAddr: line?.fetchAddr ?? undefined,
    stall: access?.stall ?? undefined,
    stag: access?.stag ?? undefined,
  };
  if (line) {
    draft.explain = explainEvent(facts);
    draft.where = eventPlace(facts);
    return;
  }
  draft.explain = `A fault at stage ${access?.stage ?? '?'} for a ${access?.privileged ? 'privileged ' : ''}${access?.access ?? 'access'}; the line before, which names the event and the device, is not in the text.`;
  // Only faults of a translation have this line.
  draft.where = eventPlace({ ...facts, event: 'F_TRANSLATION' });
}
