import type { Layout } from '../../bits/index.ts';
import { vmsav8Layouts } from '../../pagetable/vmsav8-layout.ts';
import { cdLayout, l1cdLayout } from './cd.ts';
import { commandLayouts, unknownCommandLayout } from './commands.ts';
import { eventLayouts, priLayout, unknownEventLayout } from './events.ts';
import { registers } from './registers.ts';
import { l1stdLayout, steLayout } from './ste.ts';

export * from '../../pagetable/vmsav8-layout.ts';
export { cdLayout, l1cdLayout } from './cd.ts';
export {
  commandLayout,
  commandLayouts,
  commandName,
  commandText,
  encodeCommand,
  opcodes,
  unknownCommandLayout,
} from './commands.ts';
export {
  classNames,
  decodeEvent,
  decodePageRequest,
  encodeEvent,
  encodePageRequest,
  eventIds,
  eventLayout,
  eventLayouts,
  eventName,
  eventText,
  priLayout,
} from './events.ts';
export { registerAt, registerByName, registers } from './registers.ts';
export { l1stdLayout, steLayout } from './ste.ts';

/** Every layout of this room, page-table descriptors included. */
export const smmuv3Layouts: readonly Layout[] = [
  steLayout,
  l1stdLayout,
  cdLayout,
  l1cdLayout,
  ...commandLayouts,
  unknownCommandLayout,
  ...eventLayouts,
  unknownEventLayout,
  priLayout,
  ...registers.map((r) => r.layout),
  ...vmsav8Layouts,
];

const byId = new Map(smmuv3Layouts.map((l) => [l.id, l]));

/** Finds the layout that a trace event names, or undefined. */
export const layoutById = (id: string): Layout | undefined => byId.get(id);
