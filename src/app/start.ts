import { vendorsIn } from '../engine/machine/vendors.ts';
import type { LibraryScenario } from '../library/index.ts';
import {
  type AppStore,
  hashToPlace,
  keepSaved,
  placeToHash,
  readSaved,
  type Storage,
  savedText,
} from '../store/index.ts';
import { busy } from './idle.ts';

/** Each tab keeps its own document over a reload; a new tab begins with the one that was saved last. */
const tabStorage: Storage = {
  getItem: (key) => sessionStorage.getItem(key) ?? localStorage.getItem(key),
  setItem(key, value) {
    localStorage.setItem(key, value);
    sessionStorage.setItem(key, value);
  },
};

/** Runs its argument when nothing was asked for `ms`, but at the latest after four times as long. */
function quiet(ms: number): (run: () => void) => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let first = 0;
  return (run) => {
    const now = performance.now();
    if (timer === undefined) first = now;
    else clearTimeout(timer);
    timer = setTimeout(
      () => {
        timer = undefined;
        run();
      },
      now - first > ms * 4 ? 0 : ms,
    );
  };
}

/** The vendors that the first document will need, so that they can come while the rest of the page does. */
export function firstVendors(library: readonly LibraryScenario[]): readonly string[] {
  const { scenario } = hashToPlace(location.hash);
  const asked = library.find((s) => s.id === scenario)?.iommu;
  const past = savedText(tabStorage);
  return asked !== undefined && past === null ? [asked] : vendorsIn(past ?? library[0]?.iommu ?? '');
}

/** The scenario of another vendor that asks the same question, else the first one that it has. */
export const counterpart = (
  library: readonly LibraryScenario[],
  iommu: string,
  title: string | undefined,
): LibraryScenario | undefined =>
  library.find((s) => s.iommu === iommu && s.title === title) ?? library.find((s) => s.iommu === iommu);

export async function openScenario(app: AppStore, s: LibraryScenario): Promise<boolean> {
  try {
    const [document] = await busy(Promise.all([s.load(), app.engine().load(s.iommu)]));
    return app.openDocument(document, s.id);
  } catch (e) {
    app.notify('error', `Scenario "${s.title}" could not be loaded`, [e instanceof Error ? e.message : String(e)]);
    return false;
  }
}

/** Brings back what was open, goes where the address bar says, and from then on keeps both up to date. */
export async function startApp(app: AppStore, library: readonly LibraryScenario[]): Promise<void> {
  const state = app.store.getState;
  const past = savedText(tabStorage);
  const checks = past === null ? null : await busy(app.engine().loadChecks(past));
  const saved = readSaved(tabStorage, checks);
  app.setSettings(saved.settings);
  if (saved.refused.length > 0)
    app.notify('error', 'The document of the last visit cannot be opened any more', saved.refused);
  if (saved.history) app.restore(saved.history, saved.place ?? saved.history.entries[saved.history.at]!.place);

  const goTo = async (hash: string): Promise<void> => {
    const asked = hashToPlace(hash);
    const scenario = library.find((s) => s.id === asked.scenario);
    if (asked.scenario !== null && !scenario) app.notify('error', `There is no scenario "${asked.scenario}"`);
    if (scenario && scenario.id !== state().scenario) {
      if (!(await openScenario(app, scenario))) return;
    } else if (asked.scenario !== null && !scenario) return;
    if (asked.step !== null) app.moveTo({ step: asked.step, event: asked.event ?? Number.POSITIVE_INFINITY });
  };
  await goTo(location.hash);
  const first = library[0];
  if (!state().document && first) await openScenario(app, first);

  app.started();

  const { flush } = keepSaved(app, tabStorage, quiet(400));
  flush();
  window.addEventListener('pagehide', flush);
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'hidden') flush();
  });

  const later = quiet(200);
  const writeHash = (): void => {
    const s = state();
    const hash = s.document ? placeToHash(s.scenario, s.place) : '';
    if (hash !== location.hash && hash !== '') history.replaceState(null, '', hash);
  };
  writeHash();
  app.store.subscribe((s, before) => {
    if (s.place !== before.place || s.scenario !== before.scenario) later(writeHash);
  });
  window.addEventListener('hashchange', () => {
    const s = state();
    if (location.hash !== placeToHash(s.scenario, s.place)) void goTo(location.hash);
  });
}
