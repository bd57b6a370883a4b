import type { Vendor } from '../machine/index.ts';
import { guestDeviations } from './guest/index.ts';
import { featureProblem, vtdFeatureNames } from './hardware/index.ts';
import { hostDeviations } from './host/index.ts';
import { descriptorLayouts, vtdLayouts } from './layout/index.ts';
import { cachedFields } from './platform/cached.ts';
import { wire } from './platform/parts.ts';
import { handlers, VtdPlatform } from './platform/platform.ts';
import { registerNames } from './platform/registers.ts';
import { vmmDeviations } from './vmm/index.ts';

/** Intel VT-d in scalable mode with its Linux driver on both sides and QEMU's vIOMMU. */
export const vtdVendor: Vendor = {
  name: 'vtd',
  title: 'Intel VT-d',
  features: vtdFeatureNames,
  featureProblem,
  deviations: [...guestDeviations, ...vmmDeviations, ...hostDeviations].map((d) => ({ name: d.name, about: d.about })),
  layouts: vtdLayouts,
  commands: descriptorLayouts,
  // A queue of 128-bit descriptors takes the shorter ones.
  commandSizes: [16, 32],
  registers: registerNames,
  caches: cachedFields,
  policies: { deviceId: 'none', invalidation: 'hwpt' },
  lacks: {
    devices: { stall: 'an access of a device behind VT-d never waits for software' },
    operations: { 'guest.attach': { cdTable: 'VT-d has no table of context descriptors that devices could share' } },
  },
  // `inject` is the machine's own: it reaches no platform.
  operations: [...Object.keys(handlers), 'inject'],
  create: (spec, devices, trace, injector) => new VtdPlatform(wire(spec, devices, trace, injector)),
};
