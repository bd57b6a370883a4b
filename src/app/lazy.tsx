import { type ComponentType, useEffect, useState } from 'react';
import { busy } from './idle.ts';

/**
 * A part of the page that is loaded when it is first shown; until it stands there the page is not idle. (React's own way
 * holds the part back for a third of a second once something else was late.)
 */
export function late<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  let Loaded: ComponentType<P> | null = null;
  let loading: Promise<void> | null = null;
  return function Late(props: P) {
    const [, redraw] = useState(0);
    useEffect(() => {
      if (Loaded) return;
      loading ??= load().then((component) => {
        Loaded = component;
      });
      const failed = (e: unknown): void =>
        redraw(() => {
          throw e;
        });
      void busy(loading.then(() => redraw(1), failed));
    }, []);
    return Loaded && <Loaded {...props} />;
  };
}
