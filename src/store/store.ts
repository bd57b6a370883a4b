import { createStore, type StoreApi } from 'zustand/vanilla';
import { advance, restMs, singleMs } from './clock.ts';
import { type Checks, type Doc, type Engine, problemLine, type Run, type Simulation, type Step } from './engine.ts';
import { currentEntry, type History, type HistoryEntry, moveInHistory, recordEdit } from './history.ts';
import { newLocalId } from './local.ts';
import {
  clampPlace,
  endPlace,
  isAtEnd,
  nextEvent,
  nextStep,
  type Place,
  previousEvent,
  previousStep,
  samePlace,
  startPlace,
} from './place.ts';
import type { Settings } from './settings.ts';
import {
  type Dialog,
  type HeadState,
  type Notice,
  noState,
  type Presenting,
  type Selection,
  type State,
  sameSelection,
} from './state.ts';

/** So many steps are run at once; a document that needs more is run little by little, under a sign. */
const mostAtOnce = 150;

export type AppStore = ReturnType<typeof createAppStore>;

/** The store and all that can be done to it. No drawing, no timers, no browser: those subscribe from outside. */
export function createAppStore() {
  const store: StoreApi<State> = createStore<State>(() => noState);
  const head: StoreApi<HeadState> = createStore<HeadState>(() => ({ progress: 1, flying: false }));
  const { getState: get, setState: set } = store;
  let loaded: Engine | null = null;
  const engine = (): Engine => {
    if (!loaded) throw new Error('the engine is not there yet');
    return loaded;
  };
  let simulation: Simulation | null = null;
  let rested = 0;
  /** Playing stops after this step; infinity: at the end of the document. */
  let until = Number.POSITIVE_INFINITY;
  let noticeKey = 0;

  const notify = (tone: Notice['tone'], title: string, details: readonly string[] = []): void => {
    const notices = [...get().notices.filter((n) => n.title !== title), { key: ++noticeKey, tone, title, details }];
    set({ notices: notices.slice(-4) });
  };
  const dismiss = (key: number): void => set({ notices: get().notices.filter((n) => n.key !== key) });

  /** What the engine threw is a broken promise of its own: it is shown, and the document before it stays. */
  const attempt = <T>(what: string, f: () => T): T | null => {
    try {
      return f();
    } catch (e) {
      notify('error', `${what} failed inside the engine`, [e instanceof Error ? e.message : String(e)]);
      return null;
    }
  };

  const settle = (): void => {
    rested = 0;
    head.setState({ progress: 1, flying: false });
  };

  /** A long document on its way to be shown. */
  let running: { readonly run: Run; readonly label: string; readonly finish: () => void } | null = null;

  /** Gives up what is being run; what is open stays. */
  const cancelWork = (): void => {
    running = null;
    if (get().work) set({ work: null });
  };

  /** Runs some steps of a long document. @returns whether there are more to run */
  const advanceWork = (steps: number): boolean => {
    const work = running;
    if (!work) return false;
    const { run, label, finish } = work;
    const done = attempt(label, () => run.run(steps));
    if (done === null || done >= run.total) {
      cancelWork();
      if (done !== null) finish();
      return false;
    }
    set({ work: { label, done, total: run.total } });
    return true;
  };

  /** Everything that follows from a history: the simulation shows its document, the head stands at `place`. */
  const showHistory = (history: History, place: Place | 'start' | 'end', more: Partial<State> = {}): boolean => {
    const entry = currentEntry(history);
    if (!entry) return false;
    cancelWork();
    if ((simulation?.stepsToRun(entry.document) ?? entry.document.steps.length) > mostAtOnce) {
      const run = attempt(entry.label, () => engine().begin(entry.document));
      if (!run) return false;
      running = { run, label: entry.label, finish: () => showRun(history, run.simulation, place, more) };
      settle();
      set({ playing: false, cut: null, dialog: null, work: { label: entry.label, done: 0, total: run.total } });
      return true;
    }
    const shown = attempt(entry.label, () =>
      simulation?.show(entry.document) ? simulation : engine().start(entry.document),
    );
    if (!shown) {
      const before = get().document;
      if (before && simulation)
        attempt('Going back', () => simulation?.show(before) || (simulation = engine().start(before)));
      return false;
    }
    showRun(history, shown, place, more);
    return true;
  };

  const showRun = (history: History, next: Simulation, place: Place | 'start' | 'end', more: Partial<State>): void => {
    const entry = currentEntry(history)!;
    simulation = next;
    const records = [...next.records];
    const lengths = records.map((r) => r.eventCount);
    const at =
      place === 'start' ? startPlace(lengths) : place === 'end' ? endPlace(lengths) : clampPlace(place, lengths);
    settle();
    set({
      history,
      document: entry.document,
      scenario: entry.scenario,
      records,
      lengths,
      place: at,
      playing: false,
      ...more,
    });
  };

  const edit = (entry: Omit<HistoryEntry, 'place'>, place: Place | 'start' | 'end', more?: Partial<State>): boolean => {
    const s = get();
    const local = entry.local ?? currentEntry(s.history)?.local;
    return showHistory(recordEdit(s.history, { ...entry, local, place: s.place }, s.place), place, more);
  };

  /** Goes on with the checks, and with the vendors that `text` names; at once when they are there. */
  const withChecks = (what: string, go: (checks: Checks) => void, text = ''): void => {
    const checks = engine().checks(text);
    if (checks) {
      go(checks);
      return;
    }
    set({ loading: get().loading + 1 });
    engine()
      .loadChecks(text)
      .then(go, () =>
        notify('error', `${what} failed`, ['A part of the page could not be loaded. Is the server still there?']),
      )
      .finally(() => set({ loading: get().loading - 1 }));
  };

  /** Opens a document that is known to be right, such as one of the library. */
  const openDocument = (document: Doc, scenario: string | null, place: Place | 'start' = 'start'): boolean =>
    edit({ document, scenario, label: `Open "${document.title}"`, opened: true, local: newLocalId() }, place, {
      selection: null,
      fresh: place === 'start',
      cut: null,
      notices: [],
    });

  /**
   * Opens a document from its text, when the checks are loaded. A bad one is refused with the places in it; what was open stays.
   * @param name  what the person called it, for the message
   */
  const open = (
    text: string,
    name: string,
    scenario: string | null = null,
    place: Place | 'start' = 'start',
  ): boolean => {
    const checks = engine().checks();
    if (!checks) throw new Error('the checks are not loaded');
    const outcome = checks.parse(text);
    if (!outcome.ok) {
      notify('error', `${name} was not opened`, [problemLine(outcome.problem)]);
      return false;
    }
    return openDocument(outcome.document, scenario, place);
  };

  const restore = (history: History, place: Place): boolean => showHistory(history, place, { fresh: false });

  const moveTo = (place: Place): void => {
    const s = get();
    const to = clampPlace(place, s.lengths);
    settle();
    if (samePlace(to, s.place) && !s.playing) return;
    set({ place: to, playing: false, fresh: false });
  };

  const stepEvent = (by: -1 | 1, animate: boolean): void => {
    const s = get();
    const to = by === 1 ? nextEvent(s.place, s.lengths) : previousEvent(s.place, s.lengths);
    moveTo(to);
    if (by === 1 && animate && !samePlace(to, s.place) && to.event > 0) head.setState({ progress: 0, flying: true });
  };

  const play = (): void => {
    const s = get();
    if (s.playing || s.lengths.length === 0) return;
    const place = isAtEnd(s.place, s.lengths) ? startPlace(s.lengths) : s.place;
    rested = restMs;
    until = Number.POSITIVE_INFINITY;
    head.setState({ progress: head.getState().flying ? head.getState().progress : 1, flying: false });
    set({ place, playing: true, fresh: false });
  };

  const pause = (): void => {
    settle();
    set({ playing: false });
  };

  /** Plays the current step once more, and only it. */
  const replayStep = (): void => {
    const s = get();
    if (s.lengths.length === 0) return;
    rested = 0;
    until = s.place.step;
    head.setState({ progress: 0, flying: false });
    set({ place: { step: until, event: 0 }, playing: true, fresh: false });
  };

  /** One frame: `ms` since the last one, at the wall's clock. */
  const tick = (ms: number): void => {
    const s = get();
    const { progress, flying } = head.getState();
    if (!s.playing) {
      if (!flying) return;
      const p = Math.min(1, progress + ms / singleMs);
      head.setState({ progress: p, flying: p < 1 });
      return;
    }
    const { head: after, done } = advance({ place: s.place, progress, rested }, ms * s.settings.speed, s.lengths);
    rested = after.rested;
    if (after.place.step > until) {
      settle();
      set({ place: clampPlace({ step: until, event: Number.POSITIVE_INFINITY }, s.lengths), playing: false });
      return;
    }
    head.setState({ progress: after.progress, flying: false });
    if (done && s.settings.loop && s.lengths.length > 1) set({ place: startPlace(s.lengths) });
    else if (done) {
      settle();
      set({ place: after.place, playing: false });
    } else if (!samePlace(after.place, s.place)) set({ place: after.place });
  };

  /** Appends a step after the head's step and plays it; from an earlier position it asks before it cuts. */
  const runOperation = (step: Step, label: string, cut = false): void =>
    withChecks(label, (checks) => runChecked(checks, step, label, cut));

  const runChecked = (checks: Checks, step: Step, label: string, cut: boolean): void => {
    const s = get();
    if (!s.document) return;
    const at = s.place.step;
    const checked = checks.check(s.document, at, step);
    if (!checked.ok) {
      notify('error', `${label} was not added`, [problemLine(checked.problem)]);
      return;
    }
    const lost = s.document.steps.length - at;
    if (lost > 0 && !cut) {
      pause();
      set({ cut: { step, label, lost }, dialog: null });
      return;
    }
    const steps = [...s.document.steps.slice(0, at), checked.step];
    const done = edit(
      { document: { ...s.document, steps }, scenario: s.scenario, label: `Add ${label}`, opened: false },
      { step: at + 1, event: 0 },
      { cut: null, fresh: false, dialog: null, settings: { ...s.settings, panel: 'steps' } },
    );
    if (!done || (get().lengths[at + 1] ?? 0) === 0) return;
    head.setState({ progress: 0, flying: false });
    until = Number.POSITIVE_INFINITY;
    set({ playing: true });
  };

  const answerCut = (yes: boolean): void => {
    const { cut } = get();
    set({ cut: null });
    if (cut && yes) runOperation(cut.step, cut.label, true);
  };

  /** Changes the machine itself (rules, policies, features); every step is run again on the new one, the head stays. */
  const changeMachine = (change: Partial<Pick<Doc, 'platform' | 'devices' | 'setup'>>, label: string): void =>
    withChecks(label, (checks) => {
      const s = get();
      if (!s.document) return;
      const checked = checks.parse(engine().serialize({ ...s.document, ...change }));
      if (!checked.ok) {
        // The place in the text that was checked is of no use: nobody sees that text.
        const reason = problemLine(checked.problem).replace(/ \(line \d+, column \d+\)$/, '');
        notify('error', `${label}: the machine stays as it is`, [reason]);
        return;
      }
      const { place, scenario } = s;
      edit({ document: checked.document, scenario, label, opened: false }, place, { cut: null, fresh: false });
    });

  /** Gives the document another title; nothing runs again. */
  const changeTitle = (title: string): void => {
    const s = get();
    if (!s.document || s.document.title === title) return;
    const { place, scenario } = s;
    edit({ document: { ...s.document, title }, scenario, label: `Rename to "${title}"`, opened: false }, place);
  };

  const undoRedo = (by: -1 | 1): void => {
    const s = get();
    const moved = moveInHistory(s.history, by, s.place);
    if (moved) showHistory(moved, moved.entries[moved.at]!.place, { cut: null, fresh: false });
  };

  const select = (selection: Selection | null): void => {
    if (!sameSelection(selection, get().selection)) set({ selection });
  };

  const setSettings = (change: Partial<Settings>): void => set({ settings: { ...get().settings, ...change } });

  return {
    store,
    head,
    /** The page has found out what to open. */
    started: () => set({ started: true }),
    engine,
    /** Gives the store its engine, which is loaded after the page. Nothing can be opened before. */
    setEngine: (e: Engine): void => {
      loaded = e;
    },
    /** The running simulation; null before a document is open. */
    simulation: (): Simulation | null => simulation,
    open,
    openDocument,
    advanceWork,
    cancelWork,
    withChecks,
    restore,
    moveTo,
    stepEvent,
    nextStep: () => moveTo(nextStep(get().place, get().lengths)),
    previousStep: () => moveTo(previousStep(get().place, get().lengths)),
    toEnd: () => moveTo(endPlace(get().lengths)),
    play,
    pause,
    replayStep,
    togglePlay: () => (get().playing ? pause() : play()),
    tick,
    runOperation,
    changeMachine,
    changeTitle,
    answerCut,
    undo: () => undoRedo(-1),
    redo: () => undoRedo(1),
    select,
    setSettings,
    showDialog: (dialog: Dialog | null) => set({ dialog }),
    /** Begins, changes or ends a presentation; the position stays. */
    present: (presenting: Presenting | null) => set({ presenting }),
    notify,
    dismiss,
  };
}
