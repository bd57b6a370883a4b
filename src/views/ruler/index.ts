export { BitRuler, type BitRulerProps } from './BitRuler.tsx';
export { layoutRuler, type RulerLayout } from './layout.ts';
