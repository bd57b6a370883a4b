import { useEffect, useRef, useState } from 'react';
import type { State, View } from '../../store/index.ts';
import { bandOfOperation, bandStyle } from '../actors.ts';
import { appCommand } from '../commands/app-commands.ts';
import { useApp, useAppStore } from '../context.ts';
import { stepTitle } from '../describe.ts';
import { Icon } from '../Icon.tsx';
import { InspectorPanel } from '../inspector/InspectorPanel.tsx';
import { late } from '../lazy.tsx';
import { Markdown } from '../Markdown.tsx';
import { panes } from '../strip/panes.ts';
import { TopologyPane } from '../topology/TopologyPane.tsx';
import { narrationSize, slideCount, slideNumber, viewOf } from './slides.ts';
import { justOpened, talkToSpeaker } from './speaker.ts';

const OperationsPanel = late(() => import('../operations/OperationsPanel.tsx').then((m) => m.OperationsPanel));
const MachinePanel = late(() => import('../machine/MachinePanel.tsx').then((m) => m.MachinePanel));

/** What the rest of the page may ask for while somebody presents: a view, or a panel for the "what if". */
function follow(s: State, before: State): Partial<NonNullable<State['presenting']>> | null {
  if (s.settings.view !== before.settings.view)
    return { view: s.settings.view, viewAt: s.place.step, cover: false, blank: false };
  if (s.settings.panel !== before.settings.panel) {
    const { panel } = s.settings;
    return { side: panel === 'machine' || panel === 'operations' ? panel : null };
  }
  if (s.records !== before.records) return { cover: false };
  return null;
}

function Cover() {
  const title = useApp((s) => s.document?.title ?? '');
  const about = useApp((s) => s.document?.about ?? '');
  const steps = useApp((s) => s.document?.steps.length ?? 0);
  return (
    <div className="flex min-h-0 flex-1 flex-col justify-center gap-6 px-[8vw]">
      <h1 className="text-[3rem] leading-tight font-bold">{title}</h1>
      <Markdown text={about} className="max-w-[56rem] text-[1.4rem] leading-snug text-ink-2" />
      <p className="text-[1rem] text-ink-3">{steps === 1 ? 'One step' : `${steps} steps`}</p>
    </div>
  );
}

function Narration() {
  const step = useApp((s) => s.place.step);
  const record = useApp((s) => s.records[s.place.step]);
  const atEnd = useApp((s) => s.place.event >= (s.lengths[s.place.step] ?? 0));
  if (!record) return null;
  const say = record.step?.say ?? '';
  const text = say === '' ? record.result.text : say;
  const hazards = record.hazards.length;
  return (
    <section aria-label="Narration" className="present-say grid shrink-0 content-start gap-1 border-b border-line px-6">
      <div className="flex items-baseline gap-4 pt-3">
        <span
          aria-hidden="true"
          className={`grid h-8 min-w-8 shrink-0 place-items-center self-center rounded-full px-1 text-[1rem] font-bold text-white dark:text-black ${bandStyle[bandOfOperation(record.operation)].dot}`}
        >
          {step}
        </span>
        <h1 className="min-w-0 truncate text-[1.7rem] leading-tight font-bold">
          {step === 0 ? 'Setup' : stepTitle(record.step)}
        </h1>
        {atEnd && hazards > 0 && (
          <span className="ml-auto flex shrink-0 items-center gap-1.5 self-center text-[1rem] font-semibold text-stale-ink">
            <Icon name="warning" className="size-5" />
            {hazards === 1 ? '1 stale entry' : `${hazards} stale entries`}
          </span>
        )}
      </div>
      <div
        className="scroll-thin min-h-0 overflow-y-auto leading-snug"
        style={{ fontSize: `${narrationSize(text)}rem` }}
      >
        <Markdown text={text} />
      </div>
    </section>
  );
}

/** A view of the strip in the whole room. */
function ViewPane({ view }: { view: View }) {
  const Pane = panes[view];
  const [bar, setBar] = useState<HTMLElement | null>(null);
  return (
    <section aria-label="View" className="flex min-h-0 flex-1 flex-col bg-panel">
      <div ref={setBar} className="flex shrink-0 items-center justify-end px-3 empty:hidden" />
      <div className="flex min-h-0 flex-1 flex-col">
        <Pane bar={bar} />
      </div>
    </section>
  );
}

function Side({ side }: { side: 'inspector' | 'machine' | 'operations' }) {
  const app = useAppStore();
  const close = (): void => {
    const p = app.store.getState().presenting;
    if (p) app.present({ ...p, side: null });
  };
  if (side === 'inspector')
    return (
      <div className="present-side flex min-h-0 flex-col">
        <InspectorPanel onClose={close} />
      </div>
    );
  return (
    <aside aria-label="What if" className="present-side flex min-h-0 flex-col border-l border-line bg-panel">
      <div className="flex shrink-0 justify-end px-2 pt-1">
        <button type="button" className="btn border-transparent px-1.5" aria-label="Close" onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <div className="scroll-thin relative min-h-0 flex-1 overflow-y-auto">
        {side === 'machine' ? <MachinePanel /> : <OperationsPanel />}
      </div>
    </aside>
  );
}

/** Where in the talk: a thin line and small numbers, out of the way. */
function Progress() {
  const cover = useApp((s) => s.presenting?.cover ?? false);
  const place = useApp((s) => s.place);
  const lengths = useApp((s) => s.lengths);
  const by = useApp((s) => s.settings.presentBy);
  const n = lengths[place.step] ?? 0;
  const number = slideNumber(cover, place);
  const count = slideCount(lengths);
  const within = cover || n === 0 ? 1 : place.event / n;
  return (
    <footer className="relative h-7 shrink-0 bg-panel">
      <div className="h-0.5 bg-line">
        <div
          className="h-full origin-left bg-ink-3"
          style={{ transform: `scaleX(${Math.min(1, (number - 1 + within) / count)})` }}
        />
      </div>
      <p className="flex justify-between px-4 pt-1 text-2xs text-ink-3 tabular-nums">
        <span>? shows the keys{by === 'event' && ' · forward by event'}</span>
        <span>
          {!cover && n > 0 && place.event < n && `event ${place.event} of ${n} · `}
          {number} / {count}
        </span>
      </p>
    </footer>
  );
}

/** The steps as slides: narration, picture, and nothing else unless the room asks for it. */
export function Presentation() {
  const app = useAppStore();
  const p = useApp((s) => s.presenting);
  const at = useApp((s) => s.place.step);
  const step = useApp((s) => s.records[s.place.step]?.step);
  const selected = useApp((s) => s.selection !== null);
  const root = useRef<HTMLElement>(null);

  useEffect(() => {
    talkToSpeaker(app);
    document.documentElement.dataset.presenting = 'true';
    root.current?.focus();
    const stop = app.store.subscribe((s, before) => {
      const change = s.presenting && before.presenting ? follow(s, before) : null;
      if (change) app.present({ ...s.presenting!, ...change });
    });
    const changed = (): void => {
      const s = app.store.getState();
      // The browser takes Escape for itself in full screen: it means to leave, unless a window over the slide was meant.
      if (document.fullscreenElement || justOpened() || s.dialog || s.cut || s.presenting?.side) return;
      app.present(null);
    };
    let left = false;
    const full = (): void => {
      if (document.fullscreenElement) left = true;
      else if (left) changed();
    };
    document.addEventListener('fullscreenchange', full);
    return () => {
      stop();
      document.removeEventListener('fullscreenchange', full);
      delete document.documentElement.dataset.presenting;
    };
  }, [app]);

  if (!p) return null;
  const view = viewOf(p, at, step);
  // Coming from the side, its own close button must stay reachable: a selection alone opens nothing.
  const side = p.side;
  return (
    <main ref={root} tabIndex={-1} aria-label="Presentation" className="present flex flex-col bg-bg">
      {p.cover ? (
        <Cover />
      ) : (
        <>
          <Narration />
          <div className="present-body min-h-0 flex-1" data-side={side !== null}>
            {view === 'topology' ? <TopologyPane /> : <ViewPane key={view} view={view} />}
            {side && <Side side={side} />}
            {selected && !side && (
              <button
                type="button"
                className="btn absolute right-4 bottom-10 h-9 text-sm"
                onClick={() => appCommand('present.inspector').run(app)}
              >
                Inspect (I)
              </button>
            )}
          </div>
        </>
      )}
      <Progress />
      {p.blank && <div role="img" aria-label="Black screen" className="fixed inset-0 z-50 bg-black" />}
    </main>
  );
}
