import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { createPortal } from 'react-dom';
import { hex } from '../../engine/bits/index.ts';
import type { TableEntry } from '../../engine/machine/index.ts';
import type { Place, RecordRef, Selection } from '../../store/index.ts';
import {
  closedKey,
  devicesOf,
  type Filter,
  keysOf,
  parseGoal,
  pathText,
  type Row,
  rangeText,
  rootKey,
  rowsOf,
  TableReader,
  TableTree,
} from '../../views/tables/index.ts';
import { remPixels } from '../bits.ts';
import { useApp, useAppStore } from '../context.ts';
import { AddressBar } from './AddressBar.tsx';
import { Detail, type Shown } from './Detail.tsx';
import { TablesText } from './TablesText.tsx';

/** Height of a line in rem. */
const line = 1.375;
/** Room in rem that a record needs beside or below the tree; where there is none the inspector has it. */
const besideFrom = { width: 64, height: 16 };
const belowFrom = 26;
/** While playing, tables follow a few times a second. */
const calmMs = 200;

/** The head's place, a few times a second while it moves. */
function useCalmPlace(): Place {
  const app = useAppStore();
  const place = useApp((s) => s.place);
  const playing = useApp((s) => s.playing);
  const [calm, setCalm] = useState(place);
  const last = useRef(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is taken when the place has changed
  useEffect(() => {
    const wait = playing ? calmMs - (performance.now() - last.current) : 0;
    const take = (): void => {
      last.current = performance.now();
      setCalm(app.store.getState().place);
    };
    if (wait <= 0) {
      take();
      return;
    }
    const timer = setTimeout(take, wait);
    return () => clearTimeout(timer);
  }, [app, place, playing]);
  return calm;
}

const recordOf = (row: Row): RecordRef | null => {
  const entry = row.kind === 'entry' ? row.entry : row.kind === 'run' ? row.item.first : undefined;
  if (!entry) return null;
  const { space, guest } = row.ref;
  return { space, ...(space === 'guest' && guest ? { guest } : {}), address: entry.address, layout: entry.layout.id };
};

const samePlaceIn = (a: RecordRef, row: Row, entry: TableEntry): boolean =>
  a.space === row.ref.space &&
  a.address === entry.address &&
  (a.space === 'host' || a.guest === undefined || a.guest === row.ref.guest);

const none: ReadonlySet<string> = new Set();

/** Tables in memory: a tree of entries with ranges folded, the selected one bit by bit beside it where there is room. */
export function TablesPane({ bar }: { bar: HTMLElement | null }) {
  const app = useAppStore();
  const place = useCalmPlace();
  const records = useApp((s) => s.records);
  const selection = useApp((s) => s.selection);
  const asText = useApp((s) => s.settings.asText);
  const [filter, setFilter] = useState<Filter>('all');
  const [open, setOpen] = useState<ReadonlySet<string>>(none);
  const [path, setPath] = useState<ReadonlySet<string>>(none);
  const [pins, setPins] = useState<ReadonlySet<string>>(none);
  const [cursor, setCursor] = useState<string | null>(null);
  const [reveal, setReveal] = useState(0);
  const [said, setSaid] = useState<{ readonly text: string; readonly wrong: boolean } | null>(null);
  const [raw, setRaw] = useState<RecordRef | null>(null);
  const box = useRef<HTMLDivElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  /** The selection that this view has made itself. */
  const mine = useRef<Selection | null>(null);

  const reader = useMemo(() => {
    const simulation = app.simulation();
    return simulation && records.length > 0 ? new TableReader(simulation.tableMemory(place)) : null;
  }, [app, place, records]);
  const rows = useMemo(
    () => (reader && !asText ? rowsOf(reader, { open, filter, path, pins }) : []),
    [reader, open, filter, path, pins, asText],
  );

  useEffect(() => {
    const el = box.current;
    if (!el) return;
    const measure = (): void => setSize({ width: el.clientWidth / remPixels(), height: el.clientHeight / remPixels() });
    const observer = new ResizeObserver(measure);
    observer.observe(el);
    measure();
    return () => observer.disconnect();
  }, []);

  const show = useCallback((keys: { readonly entries: readonly string[]; readonly open: readonly string[] }): void => {
    setOpen((o) => new Set([...o, ...keys.open]));
    setPins((p) => new Set([...p, ...keys.entries]));
    setCursor(keys.entries.at(-1) ?? keys.open.at(-1) ?? null);
    setReveal((n) => n + 1);
  }, []);

  // What is selected elsewhere is found here, and opened.
  const readerNow = useRef(reader);
  readerNow.current = reader;
  useEffect(() => {
    const r = readerNow.current;
    if (!selection || selection === mine.current || !r) return;
    const { record } = selection;
    if (record) {
      setRaw(record);
      const found = r.find(record, selection.id);
      if (found) show(keysOf(rootKey(found.root), found.steps));
      return;
    }
    setRaw(null);
    const root = r.roots.find((x) => x.object === selection.id);
    if (!root || selection.id === '') return;
    const key = rootKey(root);
    if (selection.index !== undefined && root.ref.input === 'slot') {
      const entry = r.entryAt(root.ref, selection.index);
      if (entry) show(keysOf(key, [{ ref: root.ref, entry }]));
    } else show({ entries: [], open: [key] });
  }, [selection, show]);

  const select = useCallback(
    (s: Selection): void => {
      mine.current = s;
      app.select(s);
    },
    [app],
  );
  const onCursor = useCallback(
    (row: Row): void => {
      setCursor(row.key);
      setReveal((n) => n + 1);
      const record = recordOf(row);
      setRaw(record);
      if (record) select({ id: row.root.object, record });
      else if (row.kind === 'root' && row.root.object !== '') select({ id: row.root.object });
    },
    [select],
  );
  const onToggle = useCallback((row: Row, to: boolean): void => {
    setCursor(row.key);
    setOpen((o) => {
      const next = new Set(o);
      if (to) {
        next.add(row.key);
        next.delete(closedKey(row.key));
      } else {
        next.delete(row.key);
        next.add(closedKey(row.key));
      }
      return next;
    });
  }, []);

  const go = (text: string): void => {
    if (!reader) return;
    const devices = devicesOf(reader.roots);
    const guests = [
      ...new Set(reader.roots.flatMap((r) => (r.ref.space === 'guest' && r.ref.guest ? [r.ref.guest] : []))),
    ];
    const parsed = parseGoal(text, { devices, guests });
    if (!parsed.ok) {
      setSaid({ text: parsed.text, wrong: true });
      return;
    }
    const { goal } = parsed;
    if (goal.kind === 'bytes') {
      const at = { space: goal.space, ...(goal.guest ? { guest: goal.guest } : {}), address: goal.address };
      const found = reader.find(at);
      const step = found?.steps.at(-1);
      const record = { ...at, address: step?.entry.address ?? goal.address, layout: step?.entry.layout.id ?? 'raw.8' };
      if (!app.simulation()?.record(place, record)) {
        setSaid({ text: `${hex(goal.address)} is not ${goal.space} memory.`, wrong: true });
        return;
      }
      if (found) show(keysOf(rootKey(found.root), found.steps));
      setRaw(record);
      setPath(none);
      select({ id: found?.root.object ?? '', record });
      setSaid({ text: found ? `In ${found.root.title}` : 'In no table that is known: raw words', wrong: false });
      return;
    }
    const current = rows.find((r) => r.key === cursor);
    const from =
      goal.kind === 'walk'
        ? reader.roots.find((r) => r.ref.space === 'host' && r.devices?.some((d) => d.name === goal.device))
        : current && current.root.ref.input === 'address'
          ? current.root
          : reader.roots.find((r) => r.ref.space === 'host' && (r.devices?.length ?? 0) > 0);
    if (!from) {
      setSaid({ text: 'No table is there yet that a walk could begin at.', wrong: true });
      return;
    }
    const walks = goal.kind === 'walk' ? goal.device : from.ref.input === 'address' ? null : from.devices![0]!.name;
    const device = from.devices?.find((d) => d.name === walks)?.id;
    const found = reader.path(from.ref, {
      address: goal.address,
      ...(device === undefined ? {} : { device }),
      ...(goal.kind === 'walk' && goal.pasid !== undefined ? { PASID: goal.pasid } : {}),
    });
    const first = keysOf(rootKey(from), found.steps);
    // The second stage stands under the entry that names both, and as a table of its own.
    const second = found.second?.steps ?? [];
    const through = second[0]
      ? found.steps.findIndex((x) =>
          x.entry.children.some((c) => c.address === second[0]!.ref.address && c.stage === 2),
        )
      : -1;
    const both = through < 0 ? null : keysOf(rootKey(from), [...found.steps.slice(0, through + 1), ...second]);
    setPath(new Set([...first.entries, ...(both?.entries ?? [])]));
    if (both) show(both);
    show(first);
    const last = found.steps.at(-1);
    if (last) {
      const { space, guest } = last.ref;
      const at = { space, ...(space === 'guest' && guest ? { guest } : {}), address: last.entry.address };
      const record = { ...at, layout: last.entry.layout.id };
      setRaw(record);
      select({ id: from.object, record });
    }
    setSaid({ text: `${walks ? `${walks}: ` : ''}${pathText(found, goal.address)}`, wrong: found.output === null });
  };

  const selected = useMemo(() => {
    const record = selection?.record;
    if (!record) return null;
    const row =
      rows.find((r) => r.key === cursor && r.kind === 'entry' && samePlaceIn(record, r, r.entry)) ??
      rows.find((r) => r.kind === 'entry' && samePlaceIn(record, r, r.entry));
    return row ?? null;
  }, [rows, selection, cursor]);

  // Other bits may be a record of another layout, so what is selected is named anew.
  const kindNow = selected?.kind === 'entry' ? selected.entry.layout.id : null;
  useEffect(() => {
    if (kindNow && selection?.record && selection.record.layout !== kindNow)
      select({ ...selection, record: { ...selection.record, layout: kindNow } });
  }, [kindNow, selection, select]);

  const shown = useMemo((): Shown | null => {
    if (selected?.kind === 'entry') {
      const { entry, ref, before } = selected;
      const at = { space: ref.space, ...(ref.guest && ref.space === 'guest' ? { guest: ref.guest } : {}) };
      const title = `${ref.title}, entry ${hex(entry.index)}: ${rangeText(ref, entry.index)}`;
      const record = { title, layout: entry.layout, words: entry.words, address: entry.address, ...at };
      return { record, ...(before ? { before: before.words } : {}) };
    }
    const record = raw && app.simulation()?.record(place, raw);
    return record ? { record } : null;
  }, [app, selected, raw, place]);

  const { width, height } = size;
  const roomy =
    width >= besideFrom.width && height >= besideFrom.height ? 'beside' : height >= belowFrom ? 'below' : null;
  const changes = reader ? reader.memory.changes().length : 0;

  return (
    <>
      {bar && createPortal(<AddressBar filter={filter} onFilter={setFilter} changes={changes} onGo={go} />, bar)}
      <div ref={box} className="flex min-h-0 min-w-0 flex-1 flex-col">
        {said && (
          <p
            role="status"
            className={`flex shrink-0 items-center gap-2 border-b border-line px-3 py-0.5 text-2xs ${said.wrong ? 'text-removed-ink' : 'text-ink-2'}`}
          >
            <span className="min-w-0 truncate font-mono" title={said.text}>
              {said.text}
            </span>
            <button
              type="button"
              className="ml-auto shrink-0 text-accent-ink underline"
              onClick={() => {
                setSaid(null);
                setPath(none);
              }}
            >
              Clear
            </button>
          </p>
        )}
        {asText ? (
          reader && <TablesText reader={reader} filter={filter} />
        ) : (
          <div className={`flex min-h-0 min-w-0 flex-1 ${roomy === 'below' ? 'flex-col' : ''}`}>
            {rows.length > 0 ? (
              <TableTree
                rows={rows}
                cursor={cursor}
                selected={selected?.key ?? null}
                onCursor={onCursor}
                onToggle={onToggle}
                line={line * remPixels()}
                reveal={reveal}
              />
            ) : (
              <p className="min-w-0 flex-1 p-3 text-xs text-ink-2">
                {filter === 'changed' && (reader?.roots.length ?? 0) > 0
                  ? place.step === 0
                    ? 'The setup writes everything there is: changes are shown from step 1 on.'
                    : 'This step has changed nothing in a table so far.'
                  : 'No table is in memory yet. Go on in time, start the machine, or write one at an address.'}
              </p>
            )}
            {roomy && shown && (
              <section
                aria-label="Selected entry"
                className={`scroll-thin min-h-0 shrink-0 overflow-y-auto border-line p-3 ${roomy === 'beside' ? 'w-[min(42%,40rem)] border-l' : 'max-h-[55%] border-t'}`}
              >
                <Detail
                  shown={shown}
                  raw={selected === null ? raw : null}
                  layouts={app.simulation()?.vendor.layouts ?? []}
                  onRaw={setRaw}
                />
              </section>
            )}
          </div>
        )}
      </div>
    </>
  );
}
