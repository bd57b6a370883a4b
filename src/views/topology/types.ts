import type { SceneObject } from '../../engine/machine/index.ts';
import type { Band } from '../../engine/trace/index.ts';
import type { Face } from './measure.ts';
import type { Routing } from './route.ts';
import type { TopologySlots } from './slots.ts';

/** All numbers are CSS pixels from the diagram's top left corner. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Rect extends Point {
  readonly w: number;
  readonly h: number;
}

/** What became of a cache row in the step: `wasted` is removed though a fresh walk would have given the same. */
export type Fate = 'filled' | 'hit' | 'removed' | 'wasted';

/** One line of text at its baseline. `full` is there when `text` was shortened. */
export interface PlacedText extends Point {
  readonly text: string;
  readonly full?: string;
  readonly size: number;
  readonly face: Face;
  readonly anchor: 'start' | 'middle' | 'end';
  /** Width that the text is pressed into, by a few percent at most; absent when it has room. */
  readonly pressed?: number;
}

export interface BandBox extends Rect {
  readonly band: Band;
  readonly title: PlacedText;
  readonly subtitle: PlacedText | null;
  /** Free strip under the band's upper edge: messages cross here and their texts stand here. */
  readonly lane: Rect;
}

export interface RingCell extends Rect {
  readonly index: number;
  readonly state: 'free' | 'done' | 'pending' | 'error';
  readonly text: string;
}

export interface RowBox extends Rect {
  readonly id: number;
  readonly cells: readonly PlacedText[];
  readonly fate: Fate | null;
  /** A hazard names this row. */
  readonly stale: boolean;
  readonly word: PlacedText | null;
  /** Whole row for the reader of a title or a screen reader: `VMID 3, ASID 1, VA 0x1_0000, removed`. */
  readonly label: string;
}

export interface ObjectBox extends Rect {
  readonly id: string;
  readonly band: Band;
  readonly type: string;
  readonly device: string | null;
  readonly titleText: string;
  /** Title and lines in one sentence, for screen readers. */
  readonly label: string;
  readonly title: PlacedText;
  readonly lines: readonly PlacedText[];
  readonly ring: readonly RingCell[];
  /** Column names of a cache, and what else stands above its rows. */
  readonly heads: readonly PlacedText[];
  readonly rows: readonly RowBox[];
  readonly more: PlacedText | null;
  readonly cache: boolean;
  /** Destroyed in this step; shown until the step ends. */
  readonly gone: boolean;
}

export interface DeviceColumn {
  readonly device: string;
  readonly x: number;
  readonly w: number;
}

/** The folded devices of one band. */
export interface FoldBox extends Rect {
  readonly band: Band;
  readonly texts: readonly PlacedText[];
}

export interface Fold {
  readonly devices: readonly string[];
  /** Scene ids that stand behind the fold, with their band. */
  readonly ids: ReadonlyMap<string, Band>;
  readonly boxes: readonly FoldBox[];
  readonly x: number;
  readonly w: number;
  readonly label: string;
}

/** Switch of a section, on its first band's title line: folds what is shown, shows what is folded. */
export interface Chip extends Rect {
  readonly section: string;
  readonly folded: boolean;
  readonly text: PlacedText;
}

/** A reference of one object to another. `from` and `to` are scene ids, or `fold:<band>`. */
export interface Arrow {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly label: string;
  readonly points: readonly Point[];
}

export interface TopologyLayout {
  readonly width: number;
  readonly height: number;
  /** Factor on all font sizes; 1 is 12 px titles and 11 px text. */
  readonly scale: number;
  readonly bands: readonly BandBox[];
  readonly boxes: readonly ObjectBox[];
  readonly columns: readonly DeviceColumn[];
  readonly fold: Fold | null;
  /** Where devices can be folded that are all shown now; null when there is no need. */
  readonly refold: PlacedText | null;
  readonly chips: readonly Chip[];
  readonly arrows: readonly Arrow[];
  /** Finds the ways of messages. */
  readonly routing: Routing;
  /** Pass them to the next call, so that every object keeps its place. */
  readonly slots: TopologySlots;
}

export interface RowMarks {
  readonly fates: ReadonlyMap<number, Fate>;
  /** Rows removed in this step, which stay visible until it ends. */
  readonly ghosts: readonly { readonly id: number; readonly cells: readonly string[] }[];
  /** Touched rows, latest first: these are shown when not all fit. */
  readonly recent: readonly number[];
}

export interface LayoutOptions {
  readonly slots?: TopologySlots;
  /** True: no device is folded; the diagram may become wider than `size`. */
  readonly open?: boolean;
  /** Devices that are never folded: selected or active ones. */
  readonly pinned?: readonly string[];
  /** By scene id of the cache. */
  readonly marks?: ReadonlyMap<string, RowMarks>;
  /** Guests and units to be folded and shown, with the bands that they are in. */
  readonly sections?: readonly { readonly name: string; readonly bands: readonly Band[]; readonly folded: boolean }[];
  /** Objects destroyed in this step. */
  readonly gone?: readonly SceneObject[];
  /** The layout before this one: what has not changed is taken from it, part by part. */
  readonly before?: TopologyLayout | null;
}
