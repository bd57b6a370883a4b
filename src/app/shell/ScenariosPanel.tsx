import { modelled } from '../../engine/machine/vendors.ts';
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
      {modelled.map((v) => {
        const own = scenarios.filter((s) => s.iommu === v.name);
        return (
          own.length > 0 && (
            <section key={v.name} aria-label={v.title}>
              <h2 className="px-3 pt-2 pb-1 text-2xs font-semibold tracking-wide text-ink-3 uppercase">{v.title}</h2>
              <ul className="space-y-1">
                {own.map((s) => (
                  <Scenario key={s.id} scenario={s} open={s.id === open} onChoose={() => void choose(s)} />
                ))}
              </ul>
            </section>
          )
        );
      })}
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

interface ScenarioProps {
  readonly scenario: LibraryScenario;
  readonly open: boolean;
  readonly onChoose: () => void;
}

function Scenario({ scenario, open, onChoose }: ScenarioProps) {
  return (
    <li>
      <button
        type="button"
        aria-current={open ? 'true' : undefined}
        onClick={onChoose}
        className={`w-full rounded-lg border px-3 py-2 text-left ${
          open ? 'border-accent/40 bg-accent-soft' : 'border-transparent hover:bg-sunken'
        }`}
      >
        <span className="flex items-baseline justify-between gap-2">
          <span className="font-semibold">{scenario.title}</span>
          {open && <span className="shrink-0 text-2xs text-accent-ink">open</span>}
        </span>
        <span className="mt-0.5 block text-xs text-ink-2">{scenario.about}</span>
      </button>
    </li>
  );
}
