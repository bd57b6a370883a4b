import { modelled } from '../../engine/machine/vendors.ts';
import type { LibraryScenario } from '../../library/index.ts';
import type { AppStore } from '../../store/index.ts';
import { appCommands } from '../commands/app-commands.ts';
import { keyText, runCommand } from '../commands/registry.ts';
import { stepTitle } from '../describe.ts';
import { formsOf } from '../operations/forms.ts';
import { openScenario } from '../start.ts';

/** Something that the palette can do. */
export interface Entry {
  readonly id: string;
  readonly group: 'Operations' | 'Commands' | 'Objects' | 'Steps' | 'Scenarios' | 'Events';
  readonly title: string;
  readonly note: string;
  /** Everything that it is found by, in lower case. */
  readonly words: string;
  readonly run: () => void;
}

const entry = (e: Omit<Entry, 'words'>, words = ''): Entry => ({
  ...e,
  words: `${e.title} ${e.note} ${words}`.toLowerCase(),
});

/** All that can be done or gone to now. */
export function allEntries(app: AppStore, scenarios: readonly LibraryScenario[]): Entry[] {
  const s = app.store.getState();
  const out: Entry[] = [];
  if (s.document)
    for (const f of formsOf(s.document.platform.iommu))
      out.push(
        entry(
          {
            id: `operation.${f.name}`,
            group: 'Operations',
            title: f.title,
            note: f.name,
            run: () => app.showDialog({ kind: 'operation', name: f.name }),
          },
          f.about,
        ),
      );
  for (const c of appCommands) {
    if (c.id === 'app.palette' || (c.when && !c.when(s))) continue;
    const key = c.keys?.[0];
    out.push(
      entry(
        {
          id: c.id,
          group: 'Commands',
          title: c.title,
          note: key ? keyText(key) : '',
          run: () => void runCommand(app, c),
        },
        c.words,
      ),
    );
  }
  for (const o of app.simulation()?.scene(s.place).objects ?? [])
    out.push(
      entry(
        {
          id: `object.${o.id}`,
          group: 'Objects',
          title: o.title,
          note: [o.section, ...o.lines].filter(Boolean).join(' · '),
          run: () => {
            app.select({ id: o.id });
            app.setSettings({ inspectorOpen: true });
          },
        },
        `${o.type} ${o.device ?? ''} ${o.band}`,
      ),
    );
  s.records.forEach((r, i) => {
    const go = (): void => app.moveTo({ step: i, event: r.eventCount });
    out.push(entry({ id: `step.${i}`, group: 'Steps', title: stepTitle(r.step), note: `step ${i}`, run: go }));
  });
  for (const x of scenarios)
    out.push(
      entry(
        {
          id: `scenario.${x.id}`,
          group: 'Scenarios',
          title: x.title,
          note: modelled.find((v) => v.name === x.iommu)?.title ?? x.iommu,
          run: () => void openScenario(app, x),
        },
        x.about,
      ),
    );
  return out;
}

/** Entries that have all words, best first: the title's beginning before its words before the rest. */
export function findEntries(entries: readonly Entry[], query: string): readonly Entry[] {
  const q = query.trim().toLowerCase();
  if (q === '') return entries.filter((e) => e.group === 'Operations' || e.group === 'Commands');
  const words = q.split(/\s+/);
  const rank = (e: Entry): number => {
    const title = e.title.toLowerCase();
    if (title.startsWith(q) || e.note.toLowerCase() === q) return 0;
    if (words.every((w) => new RegExp(`\\b${w.replace(/[^a-z0-9]/g, '\\$&')}`).test(title))) return 1;
    return words.every((w) => title.includes(w)) ? 2 : 3;
  };
  return entries
    .filter((e) => words.every((w) => e.words.includes(w)))
    .map((e, i) => ({ e, i, r: rank(e) }))
    .sort((a, b) => a.r - b.r || a.i - b.i)
    .map((x) => x.e);
}
