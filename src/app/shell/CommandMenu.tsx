import { useCallback, useState } from 'react';
import { appCommands } from '../commands/app-commands.ts';
import { keyText, runCommand } from '../commands/registry.ts';
import { useAppStore } from '../context.ts';
import { Icon } from '../Icon.tsx';
import { Menu } from '../Menu.tsx';

/** A button of the header that offers commands; ids that no room has (yet) are passed over. */
export function CommandMenu({ label, ids }: { label: string; ids: readonly string[] }) {
  const app = useAppStore();
  const [anchor, setAnchor] = useState<DOMRect | null>(null);
  const close = useCallback(() => setAnchor(null), []);
  const state = app.store.getState();
  const items = ids.flatMap((id) => {
    const command = appCommands.find((c) => c.id === id);
    if (!command) return [];
    return {
      title: command.title,
      hint: command.keys?.[0] && keyText(command.keys[0]),
      disabled: command.when?.(state) === false,
      run: () => void runCommand(app, command),
    };
  });
  return (
    <>
      <button
        type="button"
        className="btn pr-1"
        aria-haspopup="menu"
        aria-expanded={anchor !== null}
        onClick={(e) => setAnchor(e.currentTarget.getBoundingClientRect())}
      >
        {label}
        <Icon name="chevronDown" className="size-3" />
      </button>
      {anchor && <Menu label={label} anchor={anchor} items={items} onClose={close} />}
    </>
  );
}
