import { createContext, useContext } from 'react';
import { useStore } from 'zustand';
import type { AppStore, State } from '../store/index.ts';

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
