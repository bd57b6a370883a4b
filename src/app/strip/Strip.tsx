import { type PointerEvent, useRef, useState } from 'react';
import type { View } from '../../store/index.ts';
import { remPixels } from '../bits.ts';
import { appCommand } from '../commands/app-commands.ts';
import { keyText, runCommand } from '../commands/registry.ts';
import { useApp, useAppStore } from '../context.ts';
import { Icon, type IconName } from '../Icon.tsx';
import { type TabItem, Tabs } from '../Tabs.tsx';
import { panes } from './panes.ts';

const items: readonly TabItem<View>[] = [
  { id: 'ladder', title: 'Ladder' },
  { id: 'walk', title: 'Walk' },
  { id: 'tables', title: 'Tables' },
  { id: 'caches', title: 'Caches' },
  { id: 'trace', title: 'Trace' },
];

const least = 6;
const most = 40;

/** A setting of all views as a button that stays pressed. */
function Switch({ id, icon, on }: { id: string; icon: IconName; on: boolean }) {
  const app = useAppStore();
  const command = appCommand(id);
  const key = command.keys?.[0];
  return (
    <button
      type="button"
      className={`btn my-1 ml-0.5 h-7 border-transparent px-1.5 ${on ? 'bg-accent-soft text-accent-ink' : ''}`}
      aria-pressed={on}
      aria-label={command.title}
      title={key ? `${command.title} (${keyText(key)})` : command.title}
      onClick={() => runCommand(app, command)}
    >
      <Icon name={icon} />
    </button>
  );
}

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

/** The place below the topology, or instead of it, for the linked views; it can be closed. */
export function Strip() {
  const app = useAppStore();
  const open = useApp((s) => s.settings.stripOpen);
  const large = useApp((s) => s.settings.large) && open;
  const view = useApp((s) => s.settings.view);
  const height = useApp((s) => s.settings.stripHeight);
  const [bar, setBar] = useState<HTMLElement | null>(null);
  const Pane = panes[view];
  const style = { height: height === null ? 'clamp(7.5rem, 24vh, 18rem)' : `${height}rem` };
  return (
    <section
      aria-label="Views"
      className="relative flex min-h-0 flex-col border-t border-line bg-panel"
      style={open && !large ? style : undefined}
    >
      {open && !large && <Edge />}
      <div className="flex h-9 shrink-0 items-stretch justify-between px-2">
        <Tabs
          label="Views"
          name="strip"
          items={items}
          selected={view}
          onSelect={(to) => app.setSettings({ view: to, stripOpen: true })}
        />
        <div ref={setBar} className="ml-auto flex min-w-0 items-center justify-end pl-3 max-[860px]:hidden" />
        <Switch id="view.asText" icon="text" on={useApp((s) => s.settings.asText)} />
        {open && <Switch id="view.large" icon={large ? 'shrink' : 'grow'} on={large} />}
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
          aria-labelledby={`strip-tab-${view}`}
          className="flex min-h-0 flex-1 flex-col"
        >
          <Pane bar={bar} />
        </div>
      )}
    </section>
  );
}
