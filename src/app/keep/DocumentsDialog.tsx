import { useCallback, useEffect, useState } from 'react';
import { modelled } from '../../engine/machine/vendors.ts';
import type { LibraryScenario } from '../../library/index.ts';
import type { LocalSummary } from '../../store/index.ts';
import { useApp, useAppStore } from '../context.ts';
import { Dialog } from '../Dialog.tsx';
import { busy } from '../idle.ts';
import { openScenario } from '../start.ts';
import { ago } from './ago.ts';
import { type Keeper, keeperOf } from './keeper.ts';
import { newDocument } from './new-document.ts';

const vendorTitle = (name: string): string => modelled.find((v) => v.name === name)?.title ?? name;

/** The documents that this browser keeps, the one changed last first. */
export function DocumentsDialog({ scenarios }: { scenarios: readonly LibraryScenario[] }) {
  const app = useAppStore();
  const [keeper, setKeeper] = useState<Keeper | null>(null);
  const [list, setList] = useState<readonly LocalSummary[] | null>(null);
  const [thrown, setThrown] = useState<readonly LocalSummary[]>([]);
  const [renaming, setRenaming] = useState<string | null>(null);
  const [said, setSaid] = useState('');
  const history = useApp((s) => s.history);
  const current = history === null ? null : (keeper?.current ?? null);
  const close = (): void => app.showDialog(null);

  const failed = useCallback(
    (e: unknown): void =>
      app.notify('error', 'The documents of this browser cannot be reached', [
        e instanceof Error ? e.message : String(e),
      ]),
    [app],
  );

  useEffect(() => {
    let gone = false;
    let unwatch = (): void => {};
    const load = async (): Promise<void> => {
      const k = await keeperOf(app);
      await k.save();
      const read = async (): Promise<void> => {
        const all = (await k.shelf?.list()) ?? [];
        if (!gone) setList(all);
      };
      await read();
      if (gone) return;
      setKeeper(k);
      unwatch = k.shelf?.watch(() => void read().catch(failed)) ?? unwatch;
    };
    busy(load()).catch(failed);
    return () => {
      gone = true;
      unwatch();
    };
  }, [app, failed]);

  /** Does something to the list and shows what became of it. */
  const change = (what: string, work: () => Promise<unknown>): void => {
    const all = async (): Promise<void> => {
      await work();
      setList((await keeper?.shelf?.list()) ?? []);
      setSaid(what);
    };
    busy(all()).catch(failed);
  };

  const open = (d: LocalSummary): void => {
    if (d.id === current) close();
    else
      busy(
        keeper!.open(d.id).then((opened) => {
          if (opened) app.setSettings({ panel: 'steps' });
          close();
        }),
      ).catch(failed);
  };

  const remove = (d: LocalSummary): void => {
    setThrown([d, ...thrown]);
    change(`“${d.title}” is deleted.`, async () => {
      await keeper!.save();
      await keeper!.shelf!.setDeleted(d.id, Date.now());
      if (d.id !== current) return;
      // Something must be open: the next one of the list, or what a first visit shows.
      const next = list?.find((x) => x.id !== d.id);
      const first = scenarios[0];
      if (!(next && (await keeper!.open(next.id))) && first) {
        await openScenario(app, first);
      }
    });
  };

  const bringBack = (d: LocalSummary): void => {
    setThrown(thrown.filter((x) => x.id !== d.id));
    change(`“${d.title}” is back.`, () => keeper!.shelf!.setDeleted(d.id, null));
  };

  const rename = (d: LocalSummary, title: string): void => {
    setRenaming(null);
    if (title !== '' && title !== d.title) change(`Renamed to “${title}”.`, () => keeper!.rename(d.id, title));
  };

  return (
    <Dialog title="Documents" width="w-[44rem]" onClose={close}>
      <div className="scroll-thin min-h-40 overflow-y-auto p-3">
        {list?.length === 0 && <Empty blocked={keeper !== null && keeper.shelf === null} />}
        {thrown.length > 0 && (
          <div className="mb-2 flex items-center justify-between gap-3 rounded-lg border border-line-strong bg-sunken px-3 py-2">
            <span className="min-w-0 truncate">“{thrown[0]!.title}” is deleted.</span>
            <button type="button" className="btn" onClick={() => bringBack(thrown[0]!)}>
              Undo
            </button>
          </div>
        )}
        <ul aria-label="Documents of this browser" className="space-y-1">
          {list?.map((d) => (
            <li
              key={d.id}
              className={`flex flex-wrap items-center gap-x-2 gap-y-1 rounded-lg border px-2 py-1.5 ${
                d.id === current ? 'border-accent/40 bg-accent-soft' : 'border-transparent hover:bg-sunken'
              }`}
            >
              {renaming === d.id ? (
                <TitleField title={d.title} onDone={(t) => rename(d, t)} onCancel={() => setRenaming(null)} />
              ) : (
                <button
                  type="button"
                  aria-current={d.id === current ? 'true' : undefined}
                  className="min-w-0 flex-1 basis-60 text-left"
                  onClick={() => open(d)}
                >
                  <span className="block truncate font-semibold">{d.title || 'Without a title'}</span>
                  <span className="block truncate text-xs text-ink-2">
                    {vendorTitle(d.iommu)} · {d.steps === 1 ? '1 step' : `${d.steps} steps`} ·{' '}
                    {ago(d.changed, Date.now())}
                    {d.id === current && ' · open'}
                  </span>
                </button>
              )}
              <span className="flex gap-1">
                <button
                  type="button"
                  className="btn"
                  aria-label={`Rename ${d.title}`}
                  onClick={() => setRenaming(renaming === d.id ? null : d.id)}
                >
                  Rename
                </button>
                <button
                  type="button"
                  className="btn"
                  aria-label={`Duplicate ${d.title}`}
                  onClick={() => change(`“${d.title}” is duplicated.`, () => keeper!.duplicate(d.id))}
                >
                  Duplicate
                </button>
                <button type="button" className="btn" aria-label={`Delete ${d.title}`} onClick={() => remove(d)}>
                  Delete
                </button>
              </span>
            </li>
          ))}
        </ul>
        <p role="status" className="sr-only">
          {said}
        </p>
      </div>
      <div className="flex items-center justify-between gap-3 border-t border-line px-4 py-2.5">
        <p className="text-xs text-ink-3">They stay in this browser. Nothing is sent anywhere.</p>
        <button
          type="button"
          className="btn btn-primary"
          onClick={() => {
            close();
            newDocument(app);
          }}
        >
          New document
        </button>
      </div>
    </Dialog>
  );
}

function Empty({ blocked }: { blocked: boolean }) {
  return (
    <div className="px-4 py-8 text-center text-ink-2">
      <p className="font-semibold text-ink">
        {blocked ? 'This browser keeps no documents' : 'No documents of your own yet'}
      </p>
      <p className="mx-auto mt-1 max-w-md">
        {blocked
          ? 'Its storage is switched off for this page, as in a private window. Save what you make as a file.'
          : 'Add a step to a scenario and it becomes one. A file that is dropped on the page and a link that is opened are kept here too.'}
      </p>
    </div>
  );
}

interface FieldProps {
  readonly title: string;
  readonly onDone: (title: string) => void;
  readonly onCancel: () => void;
}

function TitleField({ title, onDone, onCancel }: FieldProps) {
  const [value, setValue] = useState(title);
  return (
    <form
      className="flex min-w-0 flex-1 basis-60 gap-1"
      onSubmit={(e) => {
        e.preventDefault();
        onDone(value.trim());
      }}
    >
      <input
        aria-label="Title"
        // biome-ignore lint/a11y/noAutofocus: the field replaces the button that was pressed
        autoFocus
        maxLength={200}
        className="field min-w-0 flex-1"
        value={value}
        onFocus={(e) => e.currentTarget.select()}
        onChange={(e) => setValue(e.currentTarget.value)}
        onKeyDown={(e) => {
          if (e.key !== 'Escape') return;
          e.preventDefault();
          e.stopPropagation();
          onCancel();
        }}
      />
      <button type="submit" className="btn">
        Done
      </button>
    </form>
  );
}
