import { useEffect, useMemo, useRef, useState } from 'react';
import { hex } from '../../engine/bits/index.ts';
import type { Inspection } from '../../engine/machine/index.ts';
import type {
  ObjectAction,
  Part,
  Place,
  RecordRef,
  Selection,
  Simulation,
  State,
  StepRecord,
} from '../../store/index.ts';
import { useApp, useAppStore } from '../context.ts';
import { Icon } from '../Icon.tsx';
import { Term } from '../Term.tsx';
import { CostSection } from './Cost.tsx';
import { HazardSection } from './Hazards.tsx';
import { inspectEvent } from './inspect-event.ts';
import { RecordView } from './RecordView.tsx';
import { WhySection } from './Why.tsx';

/** While the head moves, the inspector follows it a few times a second: more could not be read. */
const everyMs = 140;

function useCalmPlace(): Place {
  const app = useAppStore();
  const [place, setPlace] = useState(() => app.store.getState().place);
  const last = useRef(0);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const take = (): void => {
      timer = undefined;
      last.current = performance.now();
      setPlace(app.store.getState().place);
    };
    const changed = (s: State, before: State): void => {
      if (s.place === before.place && s.playing === before.playing) return;
      const wait = s.playing ? everyMs - (performance.now() - last.current) : 0;
      if (wait <= 0) {
        clearTimeout(timer);
        take();
      } else timer ??= setTimeout(take, wait);
    };
    const stop = app.store.subscribe(changed);
    setPlace(app.store.getState().place);
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [app]);
  return place;
}

function Facts({ facts }: { facts: Inspection['facts'] }) {
  if (facts.length === 0) return null;
  return (
    <dl className="mt-3 grid grid-cols-[max-content_1fr] gap-x-3 gap-y-1 text-xs">
      {facts.map((f, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: two facts may have one name
        <div key={i} className="contents">
          <dt className="max-w-28 break-words text-ink-2">
            <Term term={f.name} />
          </dt>
          <dd className="min-w-0">
            <span className="font-mono break-words">{f.value}</span>
            {f.note && <span className="block text-2xs text-ink-3">{f.note}</span>}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Records({ records }: { records: Inspection['records'] }) {
  // biome-ignore lint/suspicious/noArrayIndexKey: a record is its place
  return records.map((r, i) => <RecordView key={`${i} ${r.layout.id}`} record={r} open={i === 0} />);
}

function Changes({ changes }: { changes: readonly { field: string; from: string; to: string }[] }) {
  if (changes.length === 0) return null;
  return (
    <ul aria-label="Changed fields" className="mt-3 space-y-1">
      {changes.map((c) => (
        <li key={c.field} className="flex items-baseline gap-2 rounded bg-kernel-soft px-2 py-1 text-xs">
          <span className="text-ink-2">{c.field}</span>
          <span className="ml-auto font-mono">
            {c.from} → <strong className="text-kernel-ink">{c.to}</strong>
          </span>
        </li>
      ))}
    </ul>
  );
}

function Actions({ actions }: { actions: readonly ObjectAction[] }) {
  const app = useAppStore();
  if (actions.length === 0) return null;
  return (
    <div className="mt-3 flex flex-wrap gap-1.5">
      {actions.map((a) => (
        <button key={a.title} type="button" className="btn" onClick={() => app.runOperation(a.step, a.title)}>
          {a.title}
        </button>
      ))}
    </div>
  );
}

const partOf = (s: Selection): Part | undefined =>
  s.row !== undefined || s.index !== undefined ? { row: s.row, index: s.index } : undefined;

interface Shown {
  readonly inspection: Inspection;
  readonly changes: readonly { field: string; from: string; to: string }[];
  readonly actions: readonly ObjectAction[];
  readonly where?: Inspection | null;
  /** Standard term of the selected object. */
  readonly type?: string;
  /** Guest or unit that the object belongs to, when there are several. */
  readonly section?: string;
}

/** A record in memory by itself; what it belongs to is said by the object's term above it. */
function inspectRecord(simulation: Simulation, place: Place, r: RecordRef): Inspection | null {
  const record = simulation.record(place, r);
  const whose = r.space === 'guest' && r.guest && r.guest !== 'guest' ? `memory of ${r.guest}` : `${r.space} memory`;
  return (
    record && {
      title: `${record.layout.name} at ${hex(r.address)}`,
      subtitle: `${record.layout.title}, in ${whose}`,
      records: [record],
      facts: [],
    }
  );
}

function useShown(
  place: Place,
  records: readonly StepRecord[],
  selection: Selection | null,
  still: boolean,
): Shown | null {
  const app = useAppStore();
  return useMemo(() => {
    const simulation = app.simulation();
    if (!simulation || records.length === 0) return null;
    if (selection) {
      const part = partOf(selection);
      const inspection = selection.record
        ? inspectRecord(simulation, place, selection.record)
        : simulation.inspect(place, selection.id, part);
      const object = simulation.scene(place).objects.find((o) => o.id === selection.id);
      const actions = simulation.actions(place, selection.id, part);
      return inspection && { inspection, changes: [], actions, type: object?.type, section: object?.section };
    }
    const event = records[place.step]?.events[place.event - 1];
    if (!event) return null;
    const { layouts, commands } = simulation.vendor;
    const find = (id: string) => layouts.find((l) => l.id === id) ?? commands.find((l) => l.id === id);
    const inspection = inspectEvent(event, find);
    // An event without a record of its own: the object where it happens says more.
    const where = inspection.records.length === 0 && still ? simulation.inspect(place, event.at) : null;
    const section = where ? simulation.scene(place).objects.find((o) => o.id === event.at)?.section : undefined;
    return { inspection, changes: inspection.changes, actions: [], where, section };
  }, [app, place, records, selection, still]);
}

/** What is selected, or else what the playing head has just passed; below it what is stale and what the step cost. */
export function InspectorPanel({ onClose }: { onClose: () => void }) {
  const app = useAppStore();
  const place = useCalmPlace();
  const records = useApp((s) => s.records);
  const selection = useApp((s) => s.selection);
  const still = useApp((s) => !s.playing);
  const shown = useShown(place, records, selection, still);
  const record = records[place.step];
  const simulation = app.simulation();
  const hazards = simulation?.hazards(place) ?? [];
  // A row or a queue entry that has gone from an object that is still there.
  const standing =
    selection && !shown ? simulation?.scene(place).objects.find((o) => o.id === selection.id) : undefined;
  return (
    <aside aria-label="Inspector" className="shell-inspector flex min-h-0 flex-col border-l border-line bg-panel">
      <div className="scroll-thin relative min-h-0 flex-1 overflow-y-auto">
        <section className="px-4 pt-3 pb-4">
          <div className="flex items-start justify-between gap-2">
            <div className="min-w-0">
              <p className="text-2xs text-ink-3">
                {selection ? 'Selected' : 'At the playing head'}
                {shown?.type && (
                  <>
                    {' · '}
                    <Term term={shown.type} />
                    {shown.section && ` · ${shown.section}`}
                  </>
                )}
              </p>
              <h2 className="text-sm font-semibold break-words">
                {shown?.inspection.title ??
                  (selection
                    ? (standing?.title ?? selection.id)
                    : record
                      ? 'Before the first event'
                      : 'Nothing to show')}
              </h2>
            </div>
            <div className="flex shrink-0 gap-0.5">
              {selection && (
                <button
                  type="button"
                  className="btn h-6 px-1.5"
                  title="Follow the playing head again (Escape)"
                  onClick={() => app.select(null)}
                >
                  Follow
                </button>
              )}
              <button
                type="button"
                className="btn h-6 border-transparent px-1"
                aria-label="Close the inspector"
                title="Close the inspector (I)"
                onClick={onClose}
              >
                <Icon name="close" className="size-3.5" />
              </button>
            </div>
          </div>
          {shown ? (
            <>
              <p className="text-xs break-words text-ink-2">{shown.inspection.subtitle}</p>
              <Changes changes={shown.changes} />
              <Actions actions={shown.actions} />
              <div className="mt-3 space-y-4">
                <Records records={shown.inspection.records} />
              </div>
              <Facts facts={shown.inspection.facts} />
            </>
          ) : (
            <p className="text-xs text-ink-2">
              {selection
                ? `${standing ? 'This part of it is not there' : 'It does not exist'} at this position.`
                : 'Select an object, a queue entry or a cache row in the diagram to see its bytes.'}
            </p>
          )}
        </section>
        {selection && shown && <WhySection selection={selection} place={place} />}
        <HazardSection hazards={hazards} />
        {record && <CostSection record={record} step={place.step} />}
        {shown?.where && (
          <section aria-label="Where it happens" className="border-t border-line px-4 py-3">
            <p className="text-2xs text-ink-3">Where it happens{shown.section && ` · ${shown.section}`}</p>
            <h3 className="text-xs font-semibold">{shown.where.title}</h3>
            <p className="text-xs break-words text-ink-2">{shown.where.subtitle}</p>
            <div className="mt-3 space-y-4">
              <Records records={shown.where.records} />
            </div>
            <Facts facts={shown.where.facts} />
          </section>
        )}
      </div>
    </aside>
  );
}
