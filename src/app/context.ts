import { createContext, useContext } from 'react';
import { useStore } from 'zustand';
import type { AppStore, HeadState, State } from '../store/index.ts';

export const AppContext = createContext<AppStore | null>(null);

/** The store of this app; its actions are stable. */
export function useAppStore(): AppStore {
  const app = useContext(AppContext);
  if (!app) throw new Error('no AppContext above');
  return app;
}

/** A narrow part of the state; the component redraws when that part changes. */
export function useApp<T>(select: (s: State) => T): T {
  return useStore(useAppStore().store, select);
}

/** A part of the playing head, which moves each frame. */
export function useHead<T>(select: (s: HeadState) => T): T {
  return useStore(useAppStore().head, select);
}
