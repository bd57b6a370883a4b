export { BitRuler } from './BitRuler.tsx';
