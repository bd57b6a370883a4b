export type * from './driver.ts';
export type { Errno, Result } from './errno.ts';
export { fail, ok } from './errno.ts';
export { Iommufd } from './iommufd.ts';
export { answered, groupOf, type Iopf, joinIopf } from './iopf.ts';
export { inputProblem, toBigInt } from './structs.ts';
