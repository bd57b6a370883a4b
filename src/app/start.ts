import { vendorsIn } from '../engine/machine/vendors.ts';
import type { LibraryScenario } from '../library/index.ts';
import {
  type AppStore,
  hashToPlace,
  isOwn,
  oldHistoryKey,
  type Place,
  placeToHash,
  readView,
  type Storage,
  viewKey,
  viewText,
} from '../store/index.ts';
import { busy } from './idle.ts';
import { keeperOf } from './keep/keeper.ts';

/** A storage that the browser may refuse: then nothing is there and nothing is kept. */
function storageOf(get: () => globalThis.Storage): globalThis.Storage | null {
  try {
    return get();
  } catch {
    return null;
  }
}

const ofTab = storageOf(() => sessionStorage);
const ofBrowser = storageOf(() => localStorage);

/** Each tab stands where it stood over a reload; a new tab begins where the last one stood. */
const tabStorage: Storage = {
  getItem: (key) => ofTab?.getItem(key) ?? ofBrowser?.getItem(key) ?? null,
  setItem(key, value) {
    try {
      ofBrowser?.setItem(key, value);
      ofTab?.setItem(key, value);
    } catch {
      // A full storage must not stop the page; that the document is not kept is said when it is.
    }
  },
  removeItem(key) {
    ofBrowser?.removeItem(key);
    ofTab?.removeItem(key);
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
  const { scenario, readable } = hashToPlace(location.hash);
  const asked = library.find((s) => s.id === scenario)?.iommu;
  const iommu = asked ?? readView(tabStorage).standing?.iommu ?? library[0]?.iommu;
  return readable && iommu !== undefined ? vendorsIn(iommu) : [];
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

/** What a link in the address holds is read by a part of the page that comes only for it. */
const linkIn = (hash: string): string | null => /^#?(?:.*&)?d=([^&]*)/.exec(hash)?.[1] ?? null;

/** Brings back what was open, goes where the address bar says, and from then on keeps both up to date. */
export async function startApp(app: AppStore, library: readonly LibraryScenario[]): Promise<void> {
  const state = app.store.getState;
  const view = readView(tabStorage);
  app.setSettings(view.settings);

  const goTo = async (hash: string): Promise<void> => {
    const link = linkIn(hash);
    if (link !== null) {
      const { openLink } = await busy(import('./keep/open-link.ts'));
      await busy(openLink(app, link));
      return;
    }
    const asked = hashToPlace(hash);
    if (!asked.readable) {
      // Another part of the page may have an address of its own: one plain word.
      if (!/^#[a-z]+$/.test(hash))
        app.notify('error', 'The address cannot be read', [
          'What stands behind the # is no place, no document and no link of iommuscope. Copy the whole address once more.',
        ]);
      return;
    }
    const place: Place | null =
      asked.step === null ? null : { step: asked.step, event: asked.event ?? Number.POSITIVE_INFINITY };
    if (asked.local !== null) {
      const keeper = await keeperOf(app);
      if (keeper.current !== asked.local) await busy(keeper.open(asked.local, place ?? undefined));
      else if (place) app.moveTo(place);
      return;
    }
    const scenario = library.find((s) => s.id === asked.scenario);
    if (asked.scenario !== null && !scenario) {
      app.notify('error', `There is no scenario "${asked.scenario}"`);
      return;
    }
    if (
      scenario &&
      (scenario.id !== state().scenario || isOwn(state().history)) &&
      !(await openScenario(app, scenario))
    )
      return;
    if (place) app.moveTo(place);
  };

  if (tabStorage.getItem(oldHistoryKey) !== null) {
    const keeper = await keeperOf(app);
    const stood = await busy(keeper.migrate([ofTab, ofBrowser]));
    if (stood) app.restore(stood.history, stood.place);
  }
  const asked = hashToPlace(location.hash);
  const named = asked.scenario !== null || asked.local !== null || linkIn(location.hash) !== null;
  if (named || !asked.readable) await goTo(location.hash);
  // What was said about the address stays when something else is opened in its place.
  const said = state().notices;
  const { standing } = view;
  if (!state().document && standing?.local)
    await busy(keeperOf(app).then((k) => k.open(standing.local!, standing.place)));
  const last = library.find((s) => s.id === standing?.scenario);
  if (!state().document && last && !standing?.local && (await openScenario(app, last))) app.moveTo(standing!.place);
  const first = library[0];
  if (!state().document && first) await openScenario(app, first);
  if (!named && asked.readable) await goTo(location.hash);
  if (said.length > 0) app.store.setState({ notices: [...said, ...state().notices.filter((n) => !said.includes(n))] });

  app.started();

  const keeper = await keeperOf(app);
  keeper.start();

  const later = quiet(200);
  let viewSaved = '';
  const write = (): void => {
    const s = state();
    if (!s.document) return;
    const local = keeper.current;
    // A document that nobody keeps has no name that would find it again.
    const scenario = s.scenario === null || isOwn(s.history) ? null : { scenario: s.scenario };
    const hash = placeToHash(local === null ? scenario : { local }, s.place);
    if (hash !== location.hash) history.replaceState(null, '', hash);
    const text = viewText(s.settings, keeper.standing());
    if (text === viewSaved) return;
    viewSaved = text;
    tabStorage.setItem(viewKey, text);
    keeper.savePlace();
  };
  write();
  app.store.subscribe((s, before) => {
    if (s.history !== before.history) write();
    else if (s.place !== before.place || s.settings !== before.settings) later(write);
  });
  const flush = (): void => {
    write();
    void keeper.save();
  };
  window.addEventListener('pagehide', flush);
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'hidden') flush();
  });
  // The address may have been written anew since.
  window.addEventListener('hashchange', (e) => void goTo(new URL(e.newURL).hash).then(write));
}
