import type { Hazard, Scene, SceneObject } from '../machine/index.ts';
import type { Guest, Machine, Unit } from './machine.ts';

/** What a vendor draws of each part of its machine. */
export interface Drawn<P extends Machine, U extends Unit, G extends Guest> {
  readonly guest: (p: P, g: G) => SceneObject[];
  readonly vmm: (p: P, g: G) => SceneObject[];
  readonly kernel: (p: P) => SceneObject[];
  readonly hardware: (p: P, u: U, hazards: readonly Hazard[]) => SceneObject[];
}

/** Everything there is to see of a machine now, band by band. Ids are those that trace events name. */
export const sceneFrom =
  <U extends Unit, G extends Guest, P extends Machine<U, G>>(o: Drawn<P, U, G>) =>
  (p: P, hazards: readonly Hazard[]): Scene => ({
    objects: [
      ...p.guests.flatMap((g) => o.guest(p, g)),
      ...p.guests.flatMap((g) => o.vmm(p, g)),
      ...o.kernel(p),
      ...p.units.flatMap((u) => o.hardware(p, u, hazards)),
    ],
  });
