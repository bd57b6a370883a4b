import { type PointerEvent, useRef, useState } from 'react';
import { remPixels } from '../bits.ts';
import { useApp, useAppStore } from '../context.ts';
import { Icon } from '../Icon.tsx';
import { type TabItem, Tabs } from '../Tabs.tsx';
import { TraceView } from './TraceView.tsx';

const later = 'This view comes in a later version';
const items: readonly TabItem<'ladder' | 'walk' | 'tables' | 'caches' | 'trace'>[] = [
  { id: 'ladder', title: 'Ladder', later },
  { id: 'walk', title: 'Walk', later },
  { id: 'tables', title: 'Tables', later },
  { id: 'caches', title: 'Caches', later },
  { id: 'trace', title: 'Trace' },
];

const least = 6;
const most = 40;

/** Edge between topology and strip: dragged, or moved by the arrow keys. */
function Edge() {
  const app = useAppStore();
  const height = useApp((s) => s.settings.stripHeight);
  const from = useRef<{ y: number; height: number } | null>(null);
  const set = (v: number): void => app.setSettings({ stripHeight: Math.max(least, Math.min(most, v)) });
  const now = (el: Element): number => (el.parentElement?.clientHeight ?? 0) / remPixels();
  const onPointerDown = (e: PointerEvent<HTMLDivElement>): void => {
    e.currentTarget.setPointerCapture(e.pointerId);
    from.current = { y: e.clientY, height: now(e.currentTarget) };
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: a rule cannot be moved, this separator can
    <div
      role="separator"
      aria-orientation="horizontal"
      aria-label="Height of the view below the topology"
      aria-valuenow={Math.round(height ?? 12)}
      aria-valuemin={least}
      aria-valuemax={most}
      tabIndex={0}
      className="absolute inset-x-0 -top-1 z-10 h-2 cursor-row-resize touch-none"
      onPointerDown={onPointerDown}
      onPointerMove={(e) => {
        if (from.current) set(from.current.height + (from.current.y - e.clientY) / remPixels());
      }}
      onPointerUp={() => {
        from.current = null;
      }}
      onDoubleClick={() => app.setSettings({ stripHeight: null })}
      onKeyDown={(e) => {
        const by = e.key === 'ArrowUp' ? 1 : e.key === 'ArrowDown' ? -1 : 0;
        if (by === 0) return;
        e.preventDefault();
        e.stopPropagation();
        set(now(e.currentTarget) + by);
      }}
    />
  );
}

/** The place below the topology for the linked views; it can be closed. */
export function Strip() {
  const app = useAppStore();
  const open = useApp((s) => s.settings.stripOpen);
  const height = useApp((s) => s.settings.stripHeight);
  const [bar, setBar] = useState<HTMLElement | null>(null);
  return (
    <section
      aria-label="Views"
      className="relative flex min-h-0 flex-col border-t border-line bg-panel"
      style={open ? { height: height === null ? 'clamp(7.5rem, 20vh, 15rem)' : `${height}rem` } : undefined}
    >
      {open && <Edge />}
      <div className="flex h-9 shrink-0 items-stretch justify-between px-2">
        <Tabs
          label="Views"
          name="strip"
          items={items}
          selected="trace"
          onSelect={() => app.setSettings({ stripOpen: true })}
        />
        <div ref={setBar} className="ml-auto flex min-w-0 items-center pl-3 max-[860px]:hidden" />
        <button
          type="button"
          className="btn my-1 h-7 border-transparent px-1.5"
          aria-expanded={open}
          aria-label={open ? 'Close the view' : 'Open the view'}
          title={open ? 'Close the view (T)' : 'Open the view (T)'}
          onClick={() => app.setSettings({ stripOpen: !open })}
        >
          <Icon name={open ? 'chevronDown' : 'chevronUp'} />
        </button>
      </div>
      {open && (
        <div
          id="strip-panel"
          role="tabpanel"
          aria-labelledby="strip-tab-trace"
          className="flex min-h-0 flex-1 flex-col"
        >
          <TraceView bar={bar} />
        </div>
      )}
    </section>
  );
}
