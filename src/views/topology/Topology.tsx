import { type KeyboardEvent, type MouseEvent, useEffect, useMemo, useRef, useState } from 'react';
import type { Hazard, Scene } from '../../engine/machine/index.ts';
import type { TraceEvent } from '../../engine/trace/index.ts';
import { Box } from './Box.tsx';
import { sansFont } from './colours.ts';
import { activeDevices, goneObjects, rowMarks } from './fates.ts';
import { Arrows, Bands, Chips, FoldColumn, Refold } from './Ground.tsx';
import { Look, lookByKey } from './Look.tsx';
import { layoutTopology } from './layout.ts';
import { FlightView, FlightWay, NoteView, type Progress, TrailLabels, Trails } from './Messages.tsx';
import { motionOf } from './motion.ts';
import { type Direction, inOrder, neighbour, stopsOf } from './navigate.ts';
import { sectionOf } from './sections.ts';
import { shareLayout } from './share.ts';
import { reserveSlots, type TopologySlots } from './slots.ts';
import { withHazards } from './stale.ts';
import './topology.css';
import type { TopologyLayout } from './types.ts';
import { useCamera } from './use-camera.ts';
import { useSections } from './use-sections.ts';

/** Part of an object: a cache row by its id, a queue entry by its index. */
export interface TopologyPart {
  readonly row?: number;
  readonly index?: number;
}

export interface TopologyProps {
  /** The state in which exactly the events up to `event` have happened. */
  readonly scene: Scene;
  /** The state in which the step began: what it destroyed stays visible. */
  readonly previousScene?: Scene | null;
  /** Events of the current step, and the index of the last one that happened; -1 before the first. */
  readonly events: readonly TraceEvent[];
  readonly event: number;
  readonly progress: Progress;
  readonly hazards: readonly Hazard[];
  readonly selection: ({ readonly id: string } & TopologyPart) | null;
  /** Objects to be looked at in this step: outlined. */
  readonly highlight?: readonly string[];
  readonly onSelect: (id: string, part?: TopologyPart) => void;
  /** Asks for what can be done with an object; `anchor` is where it stands in the window. */
  readonly onActions?: (id: string, anchor: DOMRect, part?: TopologyPart) => void;
  readonly reducedMotion?: boolean;
  readonly width: number;
  readonly height: number;
  /** False: every device has a column. Default true: what doesn't fit is folded. */
  readonly folded?: boolean;
  readonly onFold?: (folded: boolean) => void;
  /** Scenes that will be shown sooner or later, such as the ends of all steps: their places are kept free. */
  readonly reserve?: readonly Scene[];
}

const partOf = (el: Element): TopologyPart | undefined => {
  const row = el.getAttribute('data-row');
  const index = el.getAttribute('data-index');
  if (row !== null) return { row: Number(row) };
  if (index !== null) return { index: Number(index) };
  return undefined;
};

const directions: Readonly<Record<string, Direction>> = {
  ArrowLeft: 'left',
  ArrowRight: 'right',
  ArrowUp: 'up',
  ArrowDown: 'down',
};

/** The four bands: objects, references, caches, and the messages of the step. */
export function Topology(p: TopologyProps) {
  const { event, onSelect, onActions, width, height } = p;
  const [openedHere, setOpenedHere] = useState(false);
  const open = p.folded === undefined ? openedHere : !p.folded;
  const stated = useMemo(() => withHazards(p.scene, p.hazards), [p.scene, p.hazards]);
  const folding = useSections(stated, p.previousScene ?? null, p.events, p.reserve, height);
  const { scene, events, sections } = folding;
  const selection = p.selection && { ...p.selection, id: folding.standsFor(p.selection.id) };
  const marks = useMemo(() => rowMarks(events, event), [events, event]);
  const gone = useMemo(() => goneObjects(folding.before, scene), [folding.before, scene]);
  const selectedDevice = selection ? scene.objects.find((o) => o.id === selection.id)?.device : undefined;
  const pinned = useMemo(
    () => [...(selectedDevice === undefined ? [] : [selectedDevice]), ...activeDevices(scene, events)],
    [scene, events, selectedDevice],
  );

  const { reserve } = folding;
  const reserved = useMemo(() => reserveSlots(reserve), [reserve]);
  const memory = useRef<{ base: TopologySlots; slots: TopologySlots; layout: TopologyLayout | null }>(null);
  if (memory.current?.base !== reserved) memory.current = { base: reserved, slots: reserved, layout: null };
  const keep = memory.current;
  const layout = useMemo(() => {
    const { slots, layout: before } = keep;
    const next = layoutTopology(scene, { width, height }, { slots, open, pinned, marks, gone, sections, before });
    keep.slots = next.slots;
    keep.layout = shareLayout(keep.layout, next);
    return keep.layout;
  }, [scene, width, height, open, pinned, marks, gone, sections, keep]);
  const motion = useMemo(() => motionOf(layout, events, event), [layout, events, event]);

  const root = useRef<SVGSVGElement>(null);
  const outlined = new Set((p.highlight ?? []).map(folding.standsFor));
  const view = useRef<HTMLDivElement>(null);
  const stage = useRef<HTMLDivElement>(null);
  const camera = useCamera(view, stage, layout, { width, height });
  const lastKey = useRef<string | null>(null);
  const [inside, setInside] = useState(false);

  const itemOf = (target: EventTarget): Element | null =>
    target instanceof Element ? target.closest('[data-key]') : null;
  const focusKey = (key: string | null): void => {
    const items = [...(root.current?.querySelectorAll<SVGGElement>('[data-key]') ?? [])];
    const item = items.find((i) => i.getAttribute('data-key') === key) ?? items[0];
    item?.focus({ preventScroll: true });
    const stop = item && stopsOf(layout).find((s) => s.key === item.getAttribute('data-key'));
    if (stop) camera.reveal(stop);
  };
  const choose = (item: Element): void => {
    if (item.hasAttribute('data-fold')) {
      setOpenedHere(!open);
      p.onFold?.(open);
      return;
    }
    const id = item.getAttribute('data-id');
    const section = item.getAttribute('data-section') ?? sectionOf(id ?? '');
    if (section !== null) folding.toggle(section);
    else onSelect(id!, partOf(item));
  };
  const ask = (item: Element): void => {
    const id = item.getAttribute('data-id');
    if (id !== null && sectionOf(id) === null) onActions?.(id, item.getBoundingClientRect(), partOf(item));
  };
  const onKeyDown = (e: KeyboardEvent): void => {
    if (lookByKey(e, camera)) return;
    const item = itemOf(e.target);
    if (!item) return;
    const direction = directions[e.key];
    const step = e.key === 'PageDown' ? 1 : e.key === 'PageUp' ? -1 : null;
    if ((direction || step) && !e.ctrlKey && !e.metaKey && !e.altKey) {
      e.preventDefault();
      e.stopPropagation();
      const stops = stopsOf(layout);
      const here = stops.find((s) => s.key === item.getAttribute('data-key'));
      const there = !here ? null : direction ? neighbour(stops, here, direction) : inOrder(stops, here, step!);
      if (there) focusKey(there.key);
    } else if (e.key === 'Enter') {
      e.preventDefault();
      choose(item);
    } else if (e.key === 'ContextMenu' || (e.key === 'F10' && e.shiftKey)) {
      e.preventDefault();
      ask(item);
    }
  };
  const onClick = (e: MouseEvent): void => {
    const item = itemOf(e.target);
    if (!item || String(window.getSelection() ?? '') !== '') return;
    choose(item);
    // A pointer leaves the arrow keys to the player; who came by keyboard stays where he is.
    if (e.detail > 0 && item instanceof SVGElement) item.blur();
  };
  const onContextMenu = (e: MouseEvent): void => {
    const item = itemOf(e.target);
    if (!item || !onActions) return;
    e.preventDefault();
    ask(item);
  };

  const stale = useMemo(() => {
    const out = new Map<string, string>();
    for (const h of p.hazards) out.set(h.at, `${out.get(h.at) ?? ''}${h.entry}\t${h.text}\n`);
    return out;
  }, [p.hazards]);
  const related = useMemo(() => {
    const out = new Set<string>();
    for (const a of layout.arrows) {
      if (a.from === selection?.id) out.add(a.to);
      if (a.to === selection?.id) out.add(a.from);
    }
    return out;
  }, [layout.arrows, selection?.id]);

  const { target } = motion;
  const { reveal } = camera;
  // A message to a place outside the window brings it in.
  useEffect(() => {
    if (target) reveal(target);
  }, [target, reveal]);

  const size = { width: layout.width, height: layout.height, viewBox: `0 0 ${layout.width} ${layout.height}` };
  return (
    <div ref={view} className={p.reducedMotion ? 'topo' : 'topo topo-moving'} style={{ width, height }}>
      <div ref={stage} className="topo-stage" style={{ width: layout.width, height: layout.height }}>
        {/* biome-ignore lint/a11y/useSemanticElements: an SVG drawing has no fieldset */}
        <svg
          ref={root}
          {...size}
          data-export="Topology"
          role="group"
          aria-label="Topology: guest, VMM, host kernel, hardware. Arrow keys move between objects, Page Down to the next in reading order, Enter selects; plus and minus zoom, 0 shows all, Shift with arrows pans."
          fontFamily={sansFont}
          tabIndex={inside ? -1 : 0}
          onFocus={(e) => {
            setInside(true);
            const item = itemOf(e.target);
            if (item) lastKey.current = item.getAttribute('data-key');
            else focusKey(lastKey.current ?? selection?.id ?? null);
          }}
          onBlur={(e) => {
            if (!root.current?.contains(e.relatedTarget)) setInside(false);
          }}
          onKeyDown={onKeyDown}
          onClick={onClick}
          onContextMenu={onContextMenu}
        >
          <Bands bands={layout.bands} />
          <Arrows arrows={layout.arrows} selected={selection?.id ?? null} />
          {layout.boxes.map((b) => {
            const mark = motion.marks.get(b.id);
            const selected = selection?.id === b.id;
            return (
              <Box
                key={b.id}
                box={b}
                selected={selected && selection.row === undefined && selection.index === undefined}
                related={related.has(b.id)}
                outlined={outlined.has(b.id)}
                selectedRow={selected ? (selection.row ?? -1) : -1}
                selectedIndex={selected ? (selection.index ?? -1) : -1}
                markTone={mark?.tone ?? null}
                markNow={mark?.when === 'now'}
                slot={motion.slot?.id === b.id ? motion.slot.index : -1}
                staleTexts={stale.get(b.id) ?? ''}
              />
            );
          })}
          {layout.fold && <FoldColumn fold={layout.fold} />}
          {layout.refold && <Refold text={layout.refold} />}
          <Chips chips={layout.chips} />
          {/* biome-ignore lint/a11y/noAriaHiddenOnFocusable: a group is nothing that takes the focus */}
          <g className="topo-over" aria-hidden="true">
            <Trails trail={motion.trail} />
            {motion.flight && <FlightWay flight={motion.flight} />}
            <TrailLabels trail={motion.trail} />
            {motion.flight && (
              <FlightView
                key={`flight ${motion.flight.id}`}
                flight={motion.flight}
                progress={p.progress}
                still={p.reducedMotion ?? false}
              />
            )}
            {motion.note && <NoteView key={`note ${motion.note.id}`} note={motion.note} />}
          </g>
        </svg>
      </div>
      <Look camera={camera} />
    </div>
  );
}
