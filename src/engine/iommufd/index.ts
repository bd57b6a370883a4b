export type * from './driver.ts';
export type { Errno, Result } from './errno.ts';
export { fail, ok } from './errno.ts';
export type { IoctlCall } from './iommufd.ts';
export { Iommufd } from './iommufd.ts';
export type { IommufdObject } from './objects.ts';
export type { IoctlStruct, StructField } from './structs.ts';
export { ioctlStructs, toBigInt } from './structs.ts';
export type { ObjectView } from './views.ts';
