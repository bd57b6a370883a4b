export { type VmmDeviation, vmmDeviations } from './deviations.ts';
export { type VmmRules, vmmRules } from './rules.ts';
export type { HostKernel, VmmDevice, VmmDeviceSpec, VmmState } from './state.ts';
export { Vmm, type VmmParts } from './vmm.ts';
