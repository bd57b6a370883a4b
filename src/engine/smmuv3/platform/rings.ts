import type { RingKind } from '../../platform/index.ts';
import {
  commandLayout,
  commandText,
  decodePageRequest,
  eventLayout,
  eventName,
  eventText,
  priLayout,
} from '../layout/index.ts';

/** `page 0x10000 PASID 1 rw group 3 last` */
function pageRequestText(words: readonly bigint[]): string {
  const f = decodePageRequest(words);
  const is = (name: string): boolean => f[name] === 1n;
  const access = `${is('PermRead') ? 'r' : ''}${is('PermWrite') ? 'w' : ''}${is('PermExec') ? 'x' : ''}`;
  const pasid = is('SSV') ? ` PASID ${f['SSID']}` : '';
  return `page 0x${f['Address']!.toString(16)}${pasid} ${access || 'no access'} group ${f['PRGIndex']}${is('Last') ? ' last' : ''}`;
}

/** The three queues of an SMMU, physical and virtual. */
export const rings = {
  cmdq: {
    words: 2,
    entry: 'Command',
    text: (w) => commandText(w).text,
    about: (w) => commandText(w).text,
    layout: commandLayout,
  },
  evtq: {
    words: 4,
    entry: 'Event',
    text: (w) => eventName(Number(w[0]! & 0xffn)),
    about: eventText,
    layout: eventLayout,
  },
  priq: { words: 2, entry: 'Request', text: pageRequestText, about: pageRequestText, layout: () => priLayout },
} satisfies Record<string, RingKind>;

export type RingName = keyof typeof rings;
