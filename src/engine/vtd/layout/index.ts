import type { Layout } from '../../bits/index.ts';
import { secondStageLayouts } from '../../pagetable/vtd-second-stage-layout.ts';
import { x86Layouts } from '../../pagetable/x86-64-layout.ts';
import { descriptorLayouts, unknownDescriptorLayout } from './descriptors.ts';
import { frcdInterruptLayout, frcdLayout, prqLayout } from './faults.ts';
import { irteLayout, irtePostedLayout } from './irte.ts';
import { registers } from './registers.ts';
import {
  contextLayout,
  contextLegacyLayout,
  pasidDirLayout,
  pasidLayout,
  rootLayout,
  rootLegacyLayout,
} from './tables.ts';
import { s1InvalidateLayout, s1Layout } from './uapi.ts';

export * from '../../pagetable/vtd-second-stage-layout.ts';
export * from '../../pagetable/x86-64-layout.ts';
export {
  descriptorLayout,
  descriptorLayouts,
  descriptorName,
  descriptorText,
  descriptorType,
  descriptorTypes,
  deviceTlbRange,
  encodeDescriptor,
  unknownDescriptorLayout,
} from './descriptors.ts';
export { faultName, faultReason, faultReasonByName, faultReasons } from './fault-reasons.ts';
export {
  decodeFault,
  decodePageRequest,
  deviceText,
  encodeFault,
  encodePageRequest,
  faultLayout,
  faultSummary,
  faultText,
  frcdLayout,
  pageRequestText,
  prqLayout,
} from './faults.ts';
export { irteLayoutOf } from './irte.ts';
export { registerByName, registerMap, registers } from './registers.ts';
export {
  contextLayout,
  contextLegacyLayout,
  pasidDirLayout,
  pasidLayout,
  rootLayout,
  rootLegacyLayout,
} from './tables.ts';
export { ALL_PAGES, s1InvalidateLayout, s1InvalidateText, s1Layout } from './uapi.ts';

/** Every layout of this room, page-table entries included. */
export const vtdLayouts: readonly Layout[] = [
  rootLayout,
  rootLegacyLayout,
  contextLayout,
  contextLegacyLayout,
  pasidDirLayout,
  pasidLayout,
  frcdLayout,
  frcdInterruptLayout,
  prqLayout,
  irteLayout,
  irtePostedLayout,
  s1Layout,
  s1InvalidateLayout,
  ...descriptorLayouts,
  unknownDescriptorLayout,
  ...registers.map((r) => r.layout),
  ...x86Layouts,
  ...secondStageLayouts,
];

const byId = new Map(vtdLayouts.map((l) => [l.id, l]));

/** Finds the layout that a trace event names, or undefined. */
export const layoutById = (id: string): Layout | undefined => byId.get(id);
