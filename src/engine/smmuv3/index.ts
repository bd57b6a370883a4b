import type { Vendor } from '../machine/index.ts';
import { guestDeviations } from './guest/index.ts';
import { featureProblem, smmuFeatureNames } from './hardware/index.ts';
import { hostDeviations } from './host/index.ts';
import { commandLayouts, registers, smmuv3Layouts } from './layout/index.ts';
import { cachedFields } from './platform/cached.ts';
import { wire } from './platform/parts.ts';
import { handlers, Smmuv3Platform } from './platform/platform.ts';
import { vmmDeviations } from './vmm/index.ts';

/** Arm SMMUv3 with its Linux drivers and QEMU's accelerated vSMMU. */
export const smmuv3Vendor: Vendor = {
  name: 'smmuv3',
  title: 'Arm SMMUv3',
  features: smmuFeatureNames,
  featureProblem,
  deviations: [...guestDeviations, ...vmmDeviations, ...hostDeviations].map((d) => ({ name: d.name, about: d.about })),
  layouts: smmuv3Layouts,
  commands: commandLayouts,
  registers: registers.map((r) => r.name),
  caches: cachedFields,
  // `inject` is the machine's own: it reaches no platform.
  operations: [...Object.keys(handlers), 'inject'],
  create: (spec, devices, trace, injector) => new Smmuv3Platform(wire(spec, devices, trace, injector)),
};
