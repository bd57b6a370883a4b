export { Topology, type TopologyPart } from './Topology.tsx';
