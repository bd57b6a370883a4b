import { helpCommands } from '../help/commands.ts';
import { keepCommands } from '../keep/commands.ts';
import { presentCommands } from '../present/commands.ts';
import { documentCommands } from './document.ts';
import { playerCommands } from './player.ts';
import type { Command } from './registry.ts';
import { viewCommands } from './view.ts';

/** Everything that the app itself can do; operations of the machine come beside these. */
export const appCommands: readonly Command[] = [
  ...playerCommands,
  ...documentCommands,
  ...keepCommands,
  ...viewCommands,
  ...presentCommands,
  ...helpCommands,
];

export function appCommand(id: string): Command {
  const c = appCommands.find((x) => x.id === id);
  if (!c) throw new Error(`no command ${id}`);
  return c;
}
