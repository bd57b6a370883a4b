import { useState } from 'react';
import { type DecodedLog, scenarioOf } from '../../logs/index.ts';
import { useAppStore } from '../context.ts';

/** Builds a bare document of the pasted tables and opens it where the device's access has walked them. */
export function OpenAsScenario({ log }: { log: DecodedLog }) {
  const app = useAppStore();
  const [problem, setProblem] = useState<string | null>(null);
  const open = (): void => {
    const scenario = scenarioOf(log);
    if (!scenario.ok) {
      setProblem(scenario.why);
      return;
    }
    const { document } = scenario;
    const text = app.engine().serialize(document);
    const show = (): void => {
      const end = { step: document.steps.length, event: Number.MAX_SAFE_INTEGER };
      if (!app.open(text, 'The pasted dump', null, end)) return;
      app.showDialog(null);
      app.setSettings({ panel: 'steps' });
    };
    app.withChecks('Opening the dump', show, text);
  };
  return (
    <section className="mt-2 rounded-lg border border-line p-3" aria-label="Scenario">
      <button type="button" className="btn" onClick={open}>
        Open as scenario
      </button>
      <p className="mt-2 text-xs text-ink-2">
        Puts these bytes at their addresses and lets a device walk them. The document that is open now comes back with
        Undo.
      </p>
      {problem && (
        <p role="alert" className="mt-2 text-xs">
          {problem}
        </p>
      )}
    </section>
  );
}
