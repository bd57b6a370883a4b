export * from './context.ts';
export * from './fault-queue.ts';
export * from './kernel.ts';
export * from './rules.ts';
export * from './vfio.ts';
export * from './virtual-machine.ts';
