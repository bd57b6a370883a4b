import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import type { Scene } from '../../engine/machine/index.ts';
import type { TraceEvent } from '../../engine/trace/index.ts';
import type { ObjectAction, Place } from '../../store/index.ts';
import { Topology, type TopologyPart } from '../../views/topology/index.ts';
import { useApp, useAppStore } from '../context.ts';
import { useStill } from '../motion.ts';
import { highlightOf } from '../present/slides.ts';
import { ActionsMenu } from './ActionsMenu.tsx';

function useSize(): { ref: (el: HTMLElement | null) => void; size: { width: number; height: number } | null } {
  const [el, ref] = useState<HTMLElement | null>(null);
  const [size, setSize] = useState<{ width: number; height: number } | null>(null);
  useEffect(() => {
    if (!el) return;
    const observer = new ResizeObserver(() => setSize({ width: el.clientWidth, height: el.clientHeight }));
    observer.observe(el);
    return () => observer.disconnect();
  }, [el]);
  return { ref, size };
}

const none: readonly TraceEvent[] = [];

/** Every object of a usual document keeps its place from the start; longer ones make room as they go. */
const mostScenes = 80;

interface Menu {
  readonly id: string;
  readonly part?: TopologyPart;
  readonly anchor: DOMRect;
  readonly actions: readonly ObjectAction[];
}

/** The topology at the playing head, and what can be done with its objects. */
export function TopologyPane() {
  const app = useAppStore();
  const { ref, size } = useSize();
  const place = useApp((s) => s.place);
  const records = useApp((s) => s.records);
  const selection = useApp((s) => s.selection);
  const still = useStill();
  const [menu, setMenu] = useState<Menu | null>(null);
  const simulation = app.simulation();
  const previous = useRef<{ records: unknown; step: number; scene: Scene | null }>(null);

  const progress = useMemo(
    () => ({ get: () => app.head.getState().progress, subscribe: (f: () => void) => app.head.subscribe(f) }),
    [app],
  );
  if (simulation && (previous.current?.records !== records || previous.current.step !== place.step)) {
    const before: Place | null = place.step > 0 ? { step: place.step - 1, event: Number.POSITIVE_INFINITY } : null;
    previous.current = { records, step: place.step, scene: before && simulation.scene(before) };
  }
  const reserve = useMemo(
    () => (records.length > 0 ? (app.simulation()?.scenes(mostScenes) ?? []) : []),
    [app, records],
  );
  const events = useMemo(() => records[place.step]?.events ?? none, [records, place.step]);
  const scene = simulation?.scene(place);
  const highlight = useMemo(() => highlightOf(records[place.step]?.step), [records, place.step]);
  const hazards = simulation?.hazards(place) ?? [];

  const close = useCallback(() => setMenu(null), []);
  return (
    <div ref={ref} className="shell-topology relative min-h-0 overflow-hidden">
      {scene && size && size.width > 0 && (
        <Topology
          scene={scene}
          reserve={reserve}
          previousScene={previous.current?.scene ?? null}
          events={events}
          event={place.event - 1}
          progress={progress}
          hazards={hazards}
          selection={selection}
          highlight={highlight}
          onSelect={(id, part) => app.select({ id, ...part })}
          onActions={(id, anchor, part) => {
            app.select({ id, ...part });
            const actions = app.simulation()?.actions(app.store.getState().place, id, part) ?? [];
            setMenu({ id, part, anchor, actions });
          }}
          reducedMotion={still}
          width={size.width}
          height={size.height}
        />
      )}
      {menu && <ActionsMenu anchor={menu.anchor} actions={menu.actions} onClose={close} />}
    </div>
  );
}
