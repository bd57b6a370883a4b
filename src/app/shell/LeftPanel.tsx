import type { LibraryScenario } from '../../library/index.ts';
import { useApp, useAppStore } from '../context.ts';
import { late } from '../lazy.tsx';
import { StepsPanel } from '../steps/StepsPanel.tsx';
import { Tabs } from '../Tabs.tsx';
import { ScenariosPanel } from './ScenariosPanel.tsx';

const OperationsPanel = late(() => import('../operations/OperationsPanel.tsx').then((m) => m.OperationsPanel));
const MachinePanel = late(() => import('../machine/MachinePanel.tsx').then((m) => m.MachinePanel));

const items = [
  { id: 'scenarios', title: 'Scenarios' },
  { id: 'steps', title: 'Steps' },
  { id: 'operations', title: 'Operations' },
  { id: 'machine', title: 'Machine' },
] as const;

export function LeftPanel({ scenarios }: { scenarios: readonly LibraryScenario[] }) {
  const app = useAppStore();
  const panel = useApp((s) => s.settings.panel);
  return (
    <aside aria-label="Scenario" className="shell-left flex min-h-0 flex-col border-r border-line bg-panel">
      <Tabs
        label="Scenario"
        name="left"
        tight
        items={items}
        selected={panel}
        onSelect={(id) => app.setSettings({ panel: id })}
        className="h-10 shrink-0 justify-between border-b border-line px-2"
      />
      <div
        id="left-panel"
        role="tabpanel"
        aria-labelledby={`left-tab-${panel}`}
        className="scroll-thin relative min-h-0 flex-1 overflow-y-auto"
      >
        {panel === 'scenarios' && <ScenariosPanel scenarios={scenarios} />}
        {panel === 'steps' && <StepsPanel />}
        {panel === 'operations' && <OperationsPanel />}
        {panel === 'machine' && <MachinePanel />}
      </div>
    </aside>
  );
}
