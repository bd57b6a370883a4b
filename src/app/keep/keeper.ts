import {
  type AppStore,
  type Checks,
  type Doc,
  decodeHistory,
  encodeHistory,
  type History,
  isOwn,
  type LocalSummary,
  newLocalId,
  oldHistoryKey,
  ownHistory,
  type Place,
  readView,
  type Standing,
} from '../../store/index.ts';
import { busy } from '../idle.ts';
import { openShelf, type Shelf } from './shelf.ts';

/** Thrown-away documents can be brought back for a day. */
const dayMs = 86_400_000;

const words = (e: unknown): string => (e instanceof Error ? e.message : String(e));

/**
 * Keeps the document that is open on the shelf, so that a reload, a crash or the opening of another one loses nothing. One
 * write is under way at a time; what changed meanwhile goes with the next.
 */
export class Keeper {
  readonly shelf: Shelf | null;
  private readonly app: AppStore;
  private readonly now: () => number;
  private readonly revisions = new Map<string, number>();
  private saved: History | null = null;
  private running: Promise<void> | null = null;
  private warned = false;
  private elsewhere = '';

  /** @param shelf  null where the browser keeps nothing */
  constructor(app: AppStore, shelf: Shelf | null, now: () => number = Date.now) {
    this.app = app;
    this.shelf = shelf;
    this.now = now;
    shelf?.watch((id) => this.changedElsewhere(id));
  }

  /** The local document that is open and on the shelf; null for a scenario as the library has it, or without a shelf. */
  get current(): string | null {
    const { history } = this.app.store.getState();
    if (!this.shelf || !isOwn(history)) return null;
    return history.entries[history.at]?.local ?? null;
  }

  /** Writes what is not on the shelf yet. Never rejects: what went wrong is shown. */
  save(): Promise<void> {
    this.running ??= this.saveAll().finally(() => {
      this.running = null;
    });
    return this.running;
  }

  private async saveAll(): Promise<void> {
    for (;;) {
      const { history } = this.app.store.getState();
      if (history === this.saved || !isOwn(history)) return;
      try {
        await this.write(history);
      } catch {
        this.warn();
        return;
      }
    }
  }

  private warn(): void {
    if (this.warned) return;
    this.warned = true;
    this.app.notify('error', 'This browser does not keep the document', [
      'Its storage is full or switched off. Save the document to a file.',
    ]);
  }

  private async write(history: History): Promise<void> {
    const { shelf, app } = this;
    if (!shelf) throw new Error('no storage');
    const { place } = app.store.getState();
    const entry = history.entries[history.at]!;
    const id = entry.local!;
    const workspace = encodeHistory(ownHistory(history), app.engine().serialize);
    const revision = await shelf.write(
      summaryOf(id, entry.document, entry.scenario, place, this.now()),
      workspace,
      this.revisions.get(id) ?? 0,
    );
    if (revision === null) this.fork(id);
    else {
      this.revisions.set(id, revision);
      this.saved = history;
    }
  }

  /** Another tab has changed the same document: this one goes on under its own name, and neither loses anything. */
  private fork(id: string): void {
    const { app } = this;
    const { history } = app.store.getState();
    const local = newLocalId();
    const entries = history.entries.map((e) => (e.local === id ? { ...e, local } : e));
    app.store.setState({ history: { ...history, entries } });
    app.notify('info', 'This tab goes on with a copy of the document', [
      'It was changed or deleted in another tab. Both versions are under File, Documents.',
    ]);
  }

  private changedElsewhere(id: string): void {
    if (this.current !== id || this.elsewhere === id) return;
    this.elsewhere = id;
    this.app.notify('info', 'This document is open in another tab too', [
      'It was changed there. Your next edit here goes on with a copy; reload the page to see the other version.',
    ]);
  }

  savePlace(): void {
    const id = this.current;
    if (id !== null && this.revisions.has(id))
      this.shelf?.setPlace(id, this.app.store.getState().place).catch(() => this.warn());
  }

  standing(): Standing {
    const { scenario, document, place } = this.app.store.getState();
    return { local: this.current, scenario, iommu: document?.platform.iommu ?? null, place };
  }

  private async checks(text: string): Promise<Checks> {
    return this.app.engine().loadChecks(text);
  }

  /** Reads a document with all of its edits. @returns null with a notice when that cannot be */
  private async read(id: string): Promise<{ summary: LocalSummary; history: History } | null> {
    let why: string[] = [
      'This browser does not keep it (any more). An address with “doc” works only in the browser that keeps the document; to pass it on, copy its link with Share.',
    ];
    let title = 'The document of this address';
    try {
      const found = await this.shelf?.read(id);
      if (found) {
        title = `“${found.summary.title}”`;
        const checks = await this.checks(JSON.stringify(found.workspace));
        const { history, refused } = decodeHistory(found.workspace, checks.parse, id);
        if (history) return { summary: found.summary, history };
        why = [...refused.slice(0, 1), 'It stays where it is, unchanged.'];
      }
    } catch (e) {
      why = [words(e)];
    }
    this.app.notify('error', `${title} cannot be opened`, why);
    return null;
  }

  /** Opens a document of the shelf in place of what is open, which is kept. */
  async open(id: string, place?: Place): Promise<boolean> {
    await this.save();
    const found = await this.read(id);
    if (!found) return false;
    this.revisions.set(id, found.summary.revision);
    const before = this.saved;
    this.saved = found.history;
    const { app } = this;
    if (!app.restore(found.history, place ?? found.summary.place)) {
      this.saved = before;
      return false;
    }
    app.select(null);
    app.store.setState({ cut: null, notices: [] });
    return true;
  }

  /** Gives a document of the shelf another title, as an edit that undo takes back. */
  async rename(id: string, title: string): Promise<void> {
    if (id === this.current) {
      this.app.changeTitle(title);
      await this.save();
      return;
    }
    const found = await this.read(id);
    if (!found || !this.shelf) return;
    const { history, summary } = found;
    const entry = history.entries[history.at]!;
    const document = { ...entry.document, title };
    const next = { ...entry, document, label: `Rename to "${title}"`, opened: false };
    const entries = [...history.entries.slice(0, history.at + 1), next];
    await this.shelf.write(
      summaryOf(id, document, entry.scenario, summary.place, this.now()),
      encodeHistory({ entries, at: entries.length - 1 }, this.app.engine().serialize),
      summary.revision,
    );
  }

  /** Puts a copy of a document, as it stands now, beside it. */
  async duplicate(id: string): Promise<void> {
    const found = await this.read(id);
    if (!found || !this.shelf) return;
    const entry = found.history.entries[found.history.at]!;
    const document = { ...entry.document, title: `${entry.document.title} (copy)` };
    const local = newLocalId();
    const only = { ...entry, document, local, opened: true, scenario: null, label: `Open "${document.title}"` };
    await this.shelf.write(
      summaryOf(local, document, null, found.summary.place, this.now()),
      encodeHistory({ entries: [only], at: 0 }, this.app.engine().serialize),
      0,
    );
  }

  /**
   * Takes over what version 1 kept in the storage of tab and browser: each document that was edited or brought becomes a
   * local one. What cannot be read stays where it is.
   * @returns where the tab stood
   */
  async migrate(storages: readonly (Storage | null)[]): Promise<{ history: History; place: Place } | null> {
    let stood: { history: History; place: Place } | null = null;
    const seen = new Set<string>();
    for (const storage of storages) {
      const text = storage?.getItem(oldHistoryKey) ?? null;
      if (!storage || text === null || seen.has(text)) {
        if (text !== null && this.shelf) storage?.removeItem(oldHistoryKey);
        continue;
      }
      seen.add(text);
      let saved: unknown = null;
      try {
        saved = JSON.parse(text);
      } catch {
        // What is not JSON is refused below.
      }
      const checks = await this.checks(text);
      const { history, refused } = decodeHistory(saved, checks.parse, null);
      if (!history && stood === null)
        this.app.notify('error', 'The document of the last visit cannot be opened any more', refused.slice(0, 1));
      if (!history) continue;
      const place = readView(storage).place ?? history.entries[history.at]!.place;
      stood ??= { history, place };
      if (await this.keepAll(history, place)) {
        if (refused.length > 0) storage.setItem(`${oldHistoryKey}.refused`, text);
        storage.removeItem(oldHistoryKey);
      }
    }
    return stood;
  }

  /** Each document of a history for itself. @returns false when that failed and nothing may be removed elsewhere */
  private async keepAll(history: History, place: Place): Promise<boolean> {
    const last = new Map<string, number>();
    history.entries.forEach((e, i) => {
      if (i <= history.at || !last.has(e.local!)) last.set(e.local!, i);
    });
    try {
      for (const [id, at] of last) {
        const own = ownHistory({ ...history, at });
        if (!isOwn(own) || !this.shelf) continue;
        const entry = history.entries[at]!;
        const summary = summaryOf(
          id,
          entry.document,
          entry.scenario,
          at === history.at ? place : entry.place,
          this.now(),
        );
        const revision = await this.shelf.write(summary, encodeHistory(own, this.app.engine().serialize), 0);
        if (revision !== null) this.revisions.set(id, revision);
      }
      return this.shelf !== null;
    } catch {
      this.warn();
      return false;
    }
  }

  /** From now on every change is kept. */
  start(): void {
    this.app.store.subscribe((s, before) => {
      if (s.history !== before.history) void this.save();
    });
    void this.save();
    this.shelf?.purge(this.now() - dayMs).catch(() => {});
  }
}

const summaryOf = (
  id: string,
  document: Doc,
  scenario: string | null,
  place: Place,
  now: number,
): Omit<LocalSummary, 'created' | 'revision'> => ({
  id,
  title: document.title,
  iommu: document.platform.iommu,
  scenario,
  steps: document.steps.length,
  place: { step: place.step, event: place.event },
  changed: now,
  deleted: null,
});

let keeper: Promise<Keeper> | null = null;

/** The page's keeper; opens the browser's storage the first time. */
export function keeperOf(app: AppStore): Promise<Keeper> {
  keeper ??= busy(
    openShelf().then(
      (shelf) => new Keeper(app, shelf),
      () => new Keeper(app, null),
    ),
  );
  return keeper;
}
