export const themes = ['system', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

export const speeds = [0.5, 1, 2, 4] as const;
export type Speed = (typeof speeds)[number];

export const panels = ['scenarios', 'steps', 'operations', 'machine'] as const;
export type Panel = (typeof panels)[number];

/** The views below the topology. */
export const views = ['ladder', 'walk', 'tables', 'caches', 'trace'] as const;
export type View = (typeof views)[number];

/** How a person likes to look at things; kept beside the document, never in it. */
export interface Settings {
  readonly theme: Theme;
  readonly speed: Speed;
  readonly loop: boolean;
  readonly panel: Panel;
  /** The view that the strip below the topology shows. */
  readonly view: View;
  readonly stripOpen: boolean;
  /** True: that view takes the topology's room as well. */
  readonly large: boolean;
  /** True: every view reads as text. */
  readonly asText: boolean;
  /** Height of the strip below the topology in rem; null: by the window's height. */
  readonly stripHeight: number | null;
  readonly inspectorOpen: boolean;
  /** A presentation goes forward by whole steps or by single events. */
  readonly presentBy: 'step' | 'event';
}

export const defaultSettings: Settings = {
  theme: 'system',
  speed: 1,
  loop: false,
  panel: 'steps',
  view: 'trace',
  stripOpen: true,
  large: false,
  asText: false,
  stripHeight: null,
  inspectorOpen: true,
  presentBy: 'step',
};

/** Settings from what was saved; what is missing or strange has its default. */
export function readSettings(value: unknown): Settings {
  const v = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const one = <T>(list: readonly T[], x: unknown, otherwise: T): T => (list.includes(x as T) ? (x as T) : otherwise);
  const flag = (x: unknown, otherwise: boolean): boolean => (typeof x === 'boolean' ? x : otherwise);
  const d = defaultSettings;
  return {
    theme: one(themes, v.theme, d.theme),
    speed: one(speeds, v.speed, d.speed),
    loop: flag(v.loop, d.loop),
    panel: one(panels, v.panel, d.panel),
    view: one(views, v.view, d.view),
    stripOpen: flag(v.stripOpen, d.stripOpen),
    large: flag(v.large, d.large),
    asText: flag(v.asText, d.asText),
    stripHeight: typeof v.stripHeight === 'number' && v.stripHeight > 0 && v.stripHeight < 100 ? v.stripHeight : null,
    inspectorOpen: flag(v.inspectorOpen, d.inspectorOpen),
    presentBy: one(['step', 'event'] as const, v.presentBy, d.presentBy),
  };
}
