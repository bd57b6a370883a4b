import type { AppStore } from '../store/index.ts';

/** Puts the theme on the document element and follows the system's where that is asked. */
export function applyTheme(app: AppStore): void {
  const dark = window.matchMedia('(prefers-color-scheme: dark)');
  const apply = (): void => {
    const { theme } = app.store.getState().settings;
    const now = theme === 'system' ? (dark.matches ? 'dark' : 'light') : theme;
    if (document.documentElement.dataset.theme !== now) document.documentElement.dataset.theme = now;
  };
  dark.addEventListener('change', apply);
  app.store.subscribe((s, before) => {
    if (s.settings.theme !== before.settings.theme) apply();
  });
  apply();
}
