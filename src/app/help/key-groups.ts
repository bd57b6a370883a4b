import { type Command, keyText } from '../commands/registry.ts';

export interface KeyGroup {
  readonly title: string;
  readonly rows: readonly { readonly keys: readonly string[]; readonly title: string }[];
}

const rooms: readonly { readonly title: string; readonly has: (c: Command) => boolean }[] = [
  { title: 'Presenting', has: (c) => c.mode === 'presenting' },
  { title: 'Player', has: (c) => c.id.startsWith('player.') },
  { title: 'Views', has: (c) => /^(view|select)\./.test(c.id) },
  { title: 'Document', has: (c) => /^(edit|document|share|picture|log|notes?|branch)\./.test(c.id) },
];

/** Keys that a view itself listens to, while the focus is in it. */
const inViews: readonly KeyGroup[] = [
  {
    title: 'In the topology',
    rows: [
      { keys: ['Tab'], title: 'Into the diagram, and out of it' },
      { keys: ['←', '↑', '→', '↓'], title: 'To the neighbouring object' },
      { keys: ['Page Down', 'Page Up'], title: 'To the next or previous object in reading order' },
      { keys: ['Enter'], title: 'Inspect the object' },
      { keys: ['Shift F10'], title: 'What can be done with the object' },
    ],
  },
  {
    title: 'In lists, trees and tabs',
    rows: [
      { keys: ['↑', '↓'], title: 'To the next or previous line' },
      { keys: ['→', '←'], title: 'Open or close a group; the next or previous tab' },
      { keys: ['Home', 'End'], title: 'To the first or last one' },
      { keys: ['Enter'], title: 'Go to it, or select it' },
    ],
  },
  {
    title: 'In a window over the page',
    rows: [{ keys: ['Escape'], title: 'Close it; the focus goes back' }],
  },
];

/** The keys of all commands by room, generated, with those of the views; what is presented comes first while it is. */
export function keyGroups(commands: readonly Command[], presenting: boolean): readonly KeyGroup[] {
  const withKeys = commands.filter((c) => c.keys && c.keys.length > 0);
  const roomOf = (c: Command): string => rooms.find((r) => r.has(c))?.title ?? 'Everywhere';
  const titles = [...rooms.map((r) => r.title), 'Everywhere'];
  const ordered = presenting ? titles : [...titles.filter((t) => t !== 'Presenting'), 'Presenting'];
  const groups = ordered.flatMap((title): KeyGroup[] => {
    const rows = withKeys
      .filter((c) => roomOf(c) === title)
      .map((c) => ({ keys: c.keys!.map(keyText), title: c.title }));
    return rows.length === 0 ? [] : [{ title, rows }];
  });
  const own = groups.filter((g) => g.title !== 'Presenting');
  const talk = groups.filter((g) => g.title === 'Presenting');
  return presenting ? [...talk, ...own, ...inViews] : [...own, ...inViews, ...talk];
}
