import type { Hazard, Scene } from '../../machine/index.ts';
import type { Parts } from './parts.ts';
import { guestObjects } from './scene-guest.ts';
import { hardwareObjects } from './scene-hardware.ts';
import { kernelObjects, vmmObjects } from './scene-kernel.ts';

/** Everything there is to see of the machine now. Ids are those that trace events name. */
export function sceneOf(p: Parts, hazards: readonly Hazard[]): Scene {
  return {
    objects: [
      ...p.guests.flatMap((g) => guestObjects(p, g)),
      ...p.guests.flatMap((g) => vmmObjects(p, g)),
      ...kernelObjects(p),
      ...p.units.flatMap((u) => hardwareObjects(p, u, hazards)),
    ],
  };
}
