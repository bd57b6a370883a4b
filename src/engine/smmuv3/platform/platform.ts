import { handlersFor, MachinePlatform } from '../../platform/index.ts';
import { encodeCommand } from '../layout/index.ts';
import { actionsFor } from './actions.ts';
import { cachedEntries } from './cached.ts';
import { hazardsOf } from './hazards.ts';
import { inspect } from './inspect.ts';
import type { Parts } from './parts.ts';
import { sceneOf } from './scene.ts';
import { tables } from './tables.ts';

/** Every operation of the format that this platform has. */
export const handlers = handlersFor({ encode: encodeCommand, isDoorbell: (reg) => reg.endsWith('_PROD') });

/** The machine with SMMUv3s behind the interface that every vendor has. */
export class Smmuv3Platform extends MachinePlatform<Parts> {
  constructor(parts: Parts) {
    super(parts, { handlers, scene: sceneOf, inspect, hazards: hazardsOf, actionsFor, cached: cachedEntries, tables });
  }
}
