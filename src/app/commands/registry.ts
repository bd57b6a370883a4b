import type { AppStore, State } from '../../store/index.ts';

/** Something that a person can do. Palette, keys and buttons use the same object. Ids stay once they are released. */
export interface Command {
  readonly id: string;
  readonly title: string;
  /** More words to find it by. */
  readonly words?: string;
  /** Keys as `KeyboardEvent.key` names them, with `Ctrl+` and `Shift+` in front; the first one is shown. */
  readonly keys?: readonly string[];
  readonly when?: (s: State) => boolean;
  readonly run: (app: AppStore) => void;
  /** Runs also while a text field has the focus. */
  readonly always?: boolean;
  /** Its keys are its own only while somebody presents. */
  readonly mode?: 'presenting';
}

/** Command on macOS counts as Ctrl. Shift is part of the name only where the key itself does not say it. */
export function keyOf(e: Pick<KeyboardEvent, 'key' | 'ctrlKey' | 'metaKey' | 'shiftKey'>): string {
  const printable = e.key.length === 1 && e.key !== ' ';
  const name = e.key === ' ' ? 'Space' : printable ? e.key.toLowerCase() : e.key;
  const ctrl = e.ctrlKey || e.metaKey;
  const shift = e.shiftKey && (!printable || ctrl);
  return `${ctrl ? 'Ctrl+' : ''}${shift ? 'Shift+' : ''}${name}`;
}

const shown: Readonly<Record<string, string>> = {
  ArrowLeft: '←',
  ArrowRight: '→',
  PageUp: 'Page Up',
  PageDown: 'Page Down',
};

/** A key for people: `Shift →`, `Ctrl K`. */
export const keyText = (key: string): string =>
  key
    .split('+')
    .map((k) => shown[k] ?? (k.length === 1 ? k.toUpperCase() : k))
    .join(' ');

/** The command of a key; while somebody presents, what belongs to that comes first. */
export function findByKey(commands: readonly Command[], key: string, presenting = false): Command | undefined {
  const own = presenting && commands.find((c) => c.mode === 'presenting' && c.keys?.includes(key));
  return own || commands.find((c) => c.mode === undefined && c.keys?.includes(key));
}

/** Runs a command where it applies. @returns false where it does not */
export function runCommand(app: AppStore, command: Command): boolean {
  if (command.when && !command.when(app.store.getState())) return false;
  command.run(app);
  return true;
}
