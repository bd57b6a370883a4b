import type { AppStore } from '../store/index.ts';
import { appCommands } from './commands/app-commands.ts';
import { findByKey, keyOf, runCommand } from './commands/registry.ts';

const isText = (el: Element): boolean =>
  el instanceof HTMLTextAreaElement ||
  el instanceof HTMLSelectElement ||
  (el instanceof HTMLElement && el.isContentEditable) ||
  (el instanceof HTMLInputElement && !['checkbox', 'radio', 'range', 'button'].includes(el.type));

/** Elements that the space bar presses. */
const pressed =
  'button, a[href], summary, input, [role=button], [role=tab], [role=menuitem], [role=option], [role=switch]';

/** One listener for all keys; the commands say which are theirs. */
export function listenToKeys(app: AppStore): void {
  window.addEventListener('keydown', (e) => {
    if (e.defaultPrevented || e.altKey || e.isComposing) return;
    const command = findByKey(appCommands, keyOf(e), app.store.getState().presenting !== null);
    if (!command) return;
    const target = e.target instanceof Element ? e.target : document.body;
    if (!command.always) {
      if (isText(target) || target.closest('dialog')) return;
      if (e.key === ' ' && target.closest(pressed)) return;
    }
    if (command.always && app.store.getState().dialog) return;
    // Ctrl and a letter means something to the browser too; here it means the command.
    if (runCommand(app, command) || e.ctrlKey || e.metaKey || e.key === ' ') e.preventDefault();
  });
}
