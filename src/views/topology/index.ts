export { Topology, type TopologyPart, type TopologyProps } from './Topology.tsx';
