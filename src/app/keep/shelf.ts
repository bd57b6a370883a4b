import { type DBSchema, openDB } from 'idb';
import { isLocalId, isPlace, type LocalSummary, type Place } from '../../store/index.ts';

/** A local document with all that must survive: see `persist.ts`. */
export interface Content {
  readonly id: string;
  readonly workspace: unknown;
}

interface Schema extends DBSchema {
  documents: { key: string; value: LocalSummary };
  contents: { key: string; value: Content };
}

/** Where local documents lie. Every method may reject: storage can be full, switched off, or taken away. */
export interface Shelf {
  /** Most recently changed first; thrown-away ones only when asked for. */
  list(deleted?: boolean): Promise<readonly LocalSummary[]>;
  read(id: string): Promise<{ readonly summary: LocalSummary; readonly workspace: unknown } | null>;
  /**
   * Keeps a document.
   * @param base  revision that was read or written here before; 0 for one that is new
   * @returns the new revision; null when somebody else has changed or thrown it away since, and nothing was written
   */
  write(document: Omit<LocalSummary, 'created' | 'revision'>, workspace: unknown, base: number): Promise<number | null>;
  setPlace(id: string, place: Place): Promise<void>;
  setDeleted(id: string, deleted: number | null): Promise<void>;
  /** Removes for good what was thrown away before a time. */
  purge(before: number): Promise<void>;
  /** Calls back when another tab has changed something. */
  watch(changed: (id: string) => void): () => void;
}

const isSummary = (v: LocalSummary): boolean => isLocalId(v.id) && typeof v.title === 'string' && isPlace(v.place);

/** @throws where the browser has no storage to give, or its content is of a newer version */
export async function openShelf(): Promise<Shelf> {
  const db = await openDB<Schema>('iommuscope', 1, {
    upgrade(base) {
      base.createObjectStore('documents', { keyPath: 'id' });
      base.createObjectStore('contents', { keyPath: 'id' });
    },
    // A newer version in another tab must not wait for this one.
    blocking: () => db.close(),
  });
  const channel = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('iommuscope.documents');
  const told = (id: string): void => channel?.postMessage(id);

  const update = async (id: string, change: Partial<LocalSummary>): Promise<void> => {
    const tx = db.transaction('documents', 'readwrite');
    const found = await tx.store.get(id);
    if (found) await tx.store.put({ ...found, ...change });
    await tx.done;
  };

  return {
    async list(deleted = false) {
      const all = (await db.getAll('documents')).filter(isSummary);
      return all.filter((d) => deleted || d.deleted === null).sort((a, b) => b.changed - a.changed);
    },
    async read(id) {
      const tx = db.transaction(['documents', 'contents']);
      const [summary, content] = await Promise.all([
        tx.objectStore('documents').get(id),
        tx.objectStore('contents').get(id),
      ]);
      return summary && content && isSummary(summary) ? { summary, workspace: content.workspace } : null;
    },
    async write(document, workspace, base) {
      const tx = db.transaction(['documents', 'contents'], 'readwrite');
      const found = await tx.objectStore('documents').get(document.id);
      if ((found?.revision ?? 0) !== base) {
        await tx.done;
        return null;
      }
      const revision = base + 1;
      const created = found?.created ?? document.changed;
      await Promise.all([
        tx.objectStore('documents').put({ ...document, created, revision }),
        tx.objectStore('contents').put({ id: document.id, workspace }),
        tx.done,
      ]);
      told(document.id);
      return revision;
    },
    setPlace: (id, place) => update(id, { place: { step: place.step, event: place.event } }),
    async setDeleted(id, deleted) {
      const tx = db.transaction('documents', 'readwrite');
      const found = await tx.store.get(id);
      // Whoever still has it open goes on with a copy rather than bring it back unasked.
      if (found) await tx.store.put({ ...found, deleted, revision: found.revision + 1 });
      await tx.done;
      told(id);
    },
    async purge(before) {
      const tx = db.transaction(['documents', 'contents'], 'readwrite');
      for (const d of await tx.objectStore('documents').getAll())
        if (d.deleted !== null && d.deleted < before)
          await Promise.all([tx.objectStore('documents').delete(d.id), tx.objectStore('contents').delete(d.id)]);
      await tx.done;
    },
    watch(changed) {
      const listen = (e: MessageEvent): void => changed(String(e.data));
      channel?.addEventListener('message', listen);
      return () => channel?.removeEventListener('message', listen);
    },
  };
}
