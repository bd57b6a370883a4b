import { type ComponentType, lazy } from 'react';
import { busy } from './idle.ts';

/** A part of the page that is loaded when it is first shown; until then the page is not idle. */
export function late<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  return lazy(() => busy(load().then((component) => ({ default: component }))));
}
