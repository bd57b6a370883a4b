import { sceneFrom } from '../../platform/index.ts';
import type { Guest, Parts, Unit } from './parts.ts';
import { guestObjects } from './scene-guest.ts';
import { hardwareObjects } from './scene-hardware.ts';
import { kernelObjects, vmmObjects } from './scene-kernel.ts';

export const sceneOf = sceneFrom<Unit, Guest, Parts>({
  guest: guestObjects,
  vmm: vmmObjects,
  kernel: kernelObjects,
  hardware: hardwareObjects,
});
