import type { Layout } from '../bits/index.ts';
import type { Band } from '../trace/index.ts';

/**
 * What a platform shows of itself, without a word about drawing. Every id in a trace event's `at` and `to` is the id of a
 * scene object. Views draw scenes and know no vendor.
 */
export interface Scene {
  readonly objects: readonly SceneObject[];
}

export interface SceneObject {
  /** Stable over time: `guest.ste.0x8`, `kernel.obj.3`, `hw.iotlb`, `hw.device.nic0`. */
  readonly id: string;
  readonly band: Band;
  /** Standard term: `STE`, `CD table`, `IOAS`, `IOTLB`. Views group and order by it. */
  readonly type: string;
  /** `vSTE 0x08` */
  readonly title: string;
  /** One or two short lines below the title: `S1 translate`, `vmid 3`. */
  readonly lines: readonly string[];
  /** The lines are entries of one list: where not all of them fit, how many more there are is said. */
  readonly listed?: true;
  /** Name of the device whose column it belongs to; without one it stands in the band's common part. */
  readonly device?: string;
  /** Guest (in the bands above the kernel) or physical unit that it belongs to, when there are several: such parts fold. */
  readonly section?: string;
  /** References, drawn as arrows. */
  readonly refs: readonly { readonly to: string; readonly label?: string }[];
  /** Size and positions of a ring, with the entries between CONS and PROD and a few before. */
  readonly queue?: SceneQueue;
  readonly cache?: SceneCache;
}

export interface SceneQueue {
  /** Entries in the ring. */
  readonly size: number;
  /** Free-running positions without the wrap bit. */
  readonly prod: number;
  readonly cons: number;
  /** The last few entries, oldest first. */
  readonly slots: readonly {
    readonly index: number;
    readonly text: string;
    readonly state: 'done' | 'pending' | 'error';
  }[];
}

export interface SceneCache {
  readonly columns: readonly string[];
  readonly rows: readonly SceneRow[];
}

export interface SceneRow {
  /** Same as EntryText.id. */
  readonly id: number;
  readonly cells: readonly string[];
  /** A hazard names this row. */
  readonly stale: boolean;
}

/** Everything the inspector shows of one object, record or row. */
export interface Inspection {
  readonly title: string;
  readonly subtitle: string;
  readonly records: readonly InspectedRecord[];
  readonly facts: readonly { readonly name: string; readonly value: string; readonly note?: string }[];
}

export interface InspectedRecord {
  readonly title: string;
  readonly layout: Layout;
  readonly words: readonly bigint[];
  /** Where it lies; absent for register files and messages. */
  readonly address?: number;
  readonly space?: 'guest' | 'host';
  /** Whose memory, when there are several guests. */
  readonly guest?: string;
}
