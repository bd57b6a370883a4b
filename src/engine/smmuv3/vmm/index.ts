export { vmmDeviations } from './deviations.ts';
export type { HostKernel, VmmDevice, VmmDeviceSpec } from './state.ts';
export { noDevice } from './vfio.ts';
export { Vmm, type VmmParts } from './vmm.ts';
export type { VSmmu } from './vsmmu.ts';
