import { createRoot } from 'react-dom/client';
import { loadVendors } from '../engine/machine/vendors.ts';
import { scenarios } from '../library/index.ts';
import { createAppStore } from '../store/index.ts';
import { AppContext } from './context.ts';
import { drive } from './drive.ts';
import { busy, watchIdle } from './idle.ts';
import './index.css';
import { listenToKeys } from './keys.ts';
import { notesIn } from './present/talk.ts';
import { Broken } from './shell/Broken.tsx';
import { Shell } from './shell/Shell.tsx';
import { firstVendors, startApp } from './start.ts';
import { takeDrops } from './take.ts';
import { applyTheme } from './theme.ts';
import { workInSlices } from './work.ts';

// A speaker's window is the same page with another address: it only shows and steers.
const notes = notesIn(location.hash);
if (notes !== null) await showNotes(notes);
else await showApp();

async function showNotes(id: string): Promise<void> {
  const { NotesWindow } = await import('./present/notes-window.tsx');
  const root = document.getElementById('root');
  if (root) createRoot(root).render(<NotesWindow id={id} />);
}

async function showApp(): Promise<void> {
  // Asked for first: it comes while the page is drawn.
  const session = import('../store/session.ts');
  // What fails here is said when the document is opened.
  loadVendors(firstVendors(scenarios)).catch(() => {});

  const app = createAppStore();
  watchIdle(app);
  applyTheme(app);
  drive(app);
  workInSlices(app);

  const root = document.getElementById('root');
  if (root)
    createRoot(root).render(
      <AppContext value={app}>
        <Broken>
          <Shell scenarios={scenarios} />
        </Broken>
      </AppContext>,
    );

  try {
    const { createEngine } = await busy(session);
    app.setEngine(createEngine());
    await busy(startApp(app, scenarios));
    listenToKeys(app);
    takeDrops(app);
  } catch (e) {
    app.notify('error', 'iommuscope could not start', [
      e instanceof Error ? e.message : String(e),
      'Reload the page. If it happens again, the files on the server may not belong together.',
    ]);
  }
}
