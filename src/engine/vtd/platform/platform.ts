import { handlersFor, MachinePlatform } from '../../platform/index.ts';
import { encodeDescriptor } from '../layout/index.ts';
import { actionsFor } from './actions.ts';
import { cachedEntries } from './cached.ts';
import { entryAt } from './entries.ts';
import { hazardsOf } from './hazards.ts';
import { inspect } from './inspect.ts';
import type { Guest, Parts } from './parts.ts';
import { sceneOf } from './scene.ts';
import { tables } from './tables.ts';

/** Every operation of the format that this platform has. */
export const handlers = handlersFor({
  encode: encodeDescriptor,
  isDoorbell: (reg) => reg === 'IQT_REG',
  placeOf: (g, address) => entryAt((g as Guest).linux.kernel, address),
});

/** The machine with VT-d units behind the interface that every vendor has. */
export class VtdPlatform extends MachinePlatform<Parts> {
  constructor(parts: Parts) {
    super(parts, { handlers, scene: sceneOf, inspect, hazards: hazardsOf, actionsFor, cached: cachedEntries, tables });
  }
}
