export { layoutTopology } from './layout.ts';
export type { Progress } from './Messages.tsx';
export { type Motion, motionAt, motionOf } from './motion.ts';
export { extendSlots, noSlots, type TopologySlots } from './slots.ts';
export { Topology, type TopologyPart, type TopologyProps } from './Topology.tsx';
export type * from './types.ts';
