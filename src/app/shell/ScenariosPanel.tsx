import type { LibraryScenario } from '../../library/index.ts';
import { appCommand } from '../commands/app-commands.ts';
import { useApp, useAppStore } from '../context.ts';
import { openScenario } from '../start.ts';

export function ScenariosPanel({ scenarios }: { scenarios: readonly LibraryScenario[] }) {
  const app = useAppStore();
  const open = useApp((s) => s.scenario);
  const choose = async (s: LibraryScenario): Promise<void> => {
    if (await openScenario(app, s)) app.setSettings({ panel: 'steps' });
  };
  return (
    <div className="p-2">
      {scenarios.length === 0 && <p className="p-2 text-ink-2">The library is empty. Open a document of your own.</p>}
      <ul className="space-y-1">
        {scenarios.map((s) => (
          <li key={s.id}>
            <button
              type="button"
              aria-current={s.id === open ? 'true' : undefined}
              onClick={() => void choose(s)}
              className={`w-full rounded-lg border px-3 py-2 text-left ${
                s.id === open ? 'border-accent/40 bg-accent-soft' : 'border-transparent hover:bg-sunken'
              }`}
            >
              <span className="flex items-baseline justify-between gap-2">
                <span className="font-semibold">{s.title}</span>
                {s.id === open && <span className="shrink-0 text-2xs text-accent-ink">open</span>}
              </span>
              <span className="mt-0.5 block text-xs text-ink-2">{s.about}</span>
            </button>
          </li>
        ))}
      </ul>
      <button
        type="button"
        className="btn mt-3 h-9 w-full border-dashed border-line-strong text-ink-2"
        onClick={() => appCommand('document.open').run(app)}
      >
        Open a document or a log…
      </button>
    </div>
  );
}
