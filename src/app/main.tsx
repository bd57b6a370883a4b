import { createRoot } from 'react-dom/client';
import { scenarios } from '../library/index.ts';
import { createAppStore, createEngine } from '../store/index.ts';
import { AppContext } from './context.ts';
import { drive } from './drive.ts';
import { watchIdle } from './idle.ts';
import './index.css';
import { listenToKeys } from './keys.ts';
import { Shell } from './shell/Shell.tsx';
import { startApp } from './start.ts';
import { takeDrops } from './take.ts';
import { applyTheme } from './theme.ts';

const app = createAppStore(createEngine());
watchIdle(app);
applyTheme(app);
drive(app);
listenToKeys(app);
takeDrops(app);

const root = document.getElementById('root');
if (root) {
  await startApp(app, scenarios);
  createRoot(root).render(
    <AppContext value={app}>
      <Shell scenarios={scenarios} />
    </AppContext>,
  );
}
