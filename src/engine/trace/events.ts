/**
 * The trace: everything that a view may draw. An event is emitted right after its effect on the state, so the state at
 * (step, event) is the state in which exactly the events up to that one have happened.
 */

/** Who acts. Each actor stands in one band of the topology. */
export type Actor = 'guest' | 'vmm' | 'iommufd' | 'driver' | 'iommu' | 'device';
export type Band = 'guest' | 'vmm' | 'kernel' | 'hardware';

export const bandOf: Readonly<Record<Actor, Band>> = {
  guest: 'guest',
  vmm: 'vmm',
  iommufd: 'kernel',
  driver: 'kernel',
  iommu: 'hardware',
  device: 'hardware',
};

/** A changed field of a message on its way down or up: `vmid 0 → 3`. Values are ready to show (hex without grouping or decimal). */
export interface Change {
  readonly field: string;
  readonly from: string;
  readonly to: string;
}

interface Base {
  readonly actor: Actor;
  /** Scene object where it happens. */
  readonly at: string;
  /** For messages: scene object that it goes to. */
  readonly to?: string;
}

/** A command of any queue: raw words, its layout and one line of text. */
export interface CommandText {
  /** 64-bit words. */
  readonly words: readonly bigint[];
  /** Layout id, for the inspector: `smmuv3.cmd.tlbi_nh_va`. */
  readonly layout: string;
  /** Architecture's name without prefix: `TLBI_NH_VA`. */
  readonly name: string;
  /** `TLBI_NH_VA asid 1 va 0x10000 leaf`. */
  readonly text: string;
}

/** One stage of translation as a walk meets it. What it says is ready to show. */
export interface WalkStage {
  /** Short name that stands before a level: `S1`, `FS`. */
  readonly name: string;
  /** What there is to know of it: `4 KiB granule, TTB0, ASID 1`. */
  readonly text: string;
  /** Levels of its tables, in the order of a walk. */
  readonly levels: readonly number[];
  /** What the addresses are called that it translates, and those that come out: `VA`, `IPA`. */
  readonly input: string;
  readonly output: string;
}

/** Which memory read of a walk this was. */
export interface ReadStep {
  /** What was read: an entry that finds the device or the process (Arm's, then Intel's), or a page-table entry. */
  readonly what: 'L1STD' | 'STE' | 'L1CD' | 'CD' | 'Root' | 'Context' | 'PASIDDir' | 'PASID' | 'S1' | 'S2';
  /** Page-table level as the specification counts (Arm 0 to 3, Intel 5 to 1), -1 where it has none. */
  readonly level: number;
  /** For stage-2 reads: what the translated address is for. */
  readonly purpose?: 'L1CD' | 'CD' | 'S1' | 'out';
  /** For stage-2 reads on behalf of a stage-1 table: that table's level, else -1. */
  readonly s1Level: number;
  /** The stage whose entry it is. */
  readonly stage?: WalkStage;
  /** For stage-2 reads on behalf of a stage-1 table: that stage. */
  readonly first?: WalkStage;
  /**
   * Address before the second stage: for a stage-2 read what is being translated; for any other read where the entry lies in
   * the intermediate space, left out where there is no second stage.
   */
  readonly input?: number;
  /** What was found there: `table`, `page RW AF`, `invalid`. */
  readonly means?: string;
  /** Log2 of the page at which the tables of the stage end here. */
  readonly page?: number;
}

/** Reads of one row of a walk that were not made: an entry, and the second stage of its address. */
export interface CoveredRow {
  /** Kind of entry as in a `ReadStep`; `out`: the output address, which only a second stage has reads for. */
  readonly what: Exclude<ReadStep['what'], 'S2'> | 'out';
  /** Level of a first-stage entry, else -1. */
  readonly level: number;
  /** Second-stage levels that were not read. */
  readonly second: readonly number[];
  /** Whether the entry itself was not read. */
  readonly entry: boolean;
}

/** What a hit has made unnecessary. */
export interface Covered {
  /** The stages that it stands for. */
  readonly first?: WalkStage;
  readonly second?: WalkStage;
  /** In the order in which they would have been read. */
  readonly rows: readonly CoveredRow[];
  /** There may have been fewer reads: the entry doesn't tell where second-stage tables would have ended. */
  readonly most?: true;
}

/** A cached entry as a view shows it. `id` is stable from fill to removal. */
export interface EntryText {
  readonly cache: string;
  readonly id: number;
  /** Tag and output, in the cache's column order. */
  readonly cells: readonly string[];
}

export type TraceEvent = Base &
  (
    | {
        readonly kind: 'table.write';
        readonly space: 'guest' | 'host';
        readonly address: number;
        readonly words: readonly bigint[];
        readonly layout: string;
        readonly text: string;
      }
    | {
        readonly kind: 'register.write';
        readonly iommu: 'physical' | 'virtual';
        readonly reg: string;
        readonly value: bigint;
      }
    | {
        readonly kind: 'register.read';
        readonly iommu: 'physical' | 'virtual';
        readonly reg: string;
        readonly value: bigint;
      }
    /** A VM exit: an access that the VMM emulates. */
    | { readonly kind: 'trap'; readonly text: string }
    | {
        readonly kind: 'ioctl.enter';
        readonly call: string;
        readonly fd: number;
        readonly input: Readonly<Record<string, unknown>>;
        readonly text: string;
      }
    | {
        readonly kind: 'ioctl.exit';
        readonly call: string;
        readonly errno: string;
        readonly output: Readonly<Record<string, unknown>>;
        readonly text: string;
      }
    | { readonly kind: 'object.create'; readonly type: string; readonly id: number; readonly text: string }
    | { readonly kind: 'object.destroy'; readonly type: string; readonly id: number; readonly text: string }
    | { readonly kind: 'attach'; readonly device: string; readonly hwpt: number; readonly text: string }
    /** An entry is written into a queue's memory. */
    | { readonly kind: 'command.post'; readonly queue: string; readonly index: number; readonly command: CommandText }
    /** The queue's consumer reads an entry. */
    | { readonly kind: 'command.fetch'; readonly queue: string; readonly index: number; readonly command: CommandText }
    /** A command is rewritten on the way down; `changes` says what. */
    | {
        readonly kind: 'command.rewrite';
        readonly from: CommandText;
        readonly command: CommandText;
        readonly changes: readonly Change[];
      }
    | {
        readonly kind: 'command.error';
        readonly queue: string;
        readonly index: number;
        readonly error: string;
        readonly text: string;
      }
    | { readonly kind: 'sync'; readonly queue: string; readonly text: string }
    /** A record is rewritten (vSTE to STE, physical event to virtual one). */
    | {
        readonly kind: 'record.rewrite';
        readonly layout: string;
        readonly words: readonly bigint[];
        readonly changes: readonly Change[];
        readonly text: string;
      }
    | {
        readonly kind: 'memory.read';
        readonly address: number;
        readonly words: readonly bigint[];
        readonly layout: string;
        readonly step: ReadStep;
        readonly text: string;
      }
    | { readonly kind: 'cache.fill'; readonly entry: EntryText }
    | {
        readonly kind: 'cache.hit';
        readonly entry: EntryText;
        /** Of an IOMMU's caches. */
        readonly covers?: Covered;
      }
    /** `valid`: a fresh walk would still have given the same, so the removal cost something and gained nothing. */
    | { readonly kind: 'cache.remove'; readonly entry: EntryText; readonly valid: boolean; readonly by: string }
    | {
        readonly kind: 'dma';
        readonly device: string;
        readonly access: 'read' | 'write';
        readonly iova: bigint;
        readonly pasid: number;
        readonly text: string;
      }
    | { readonly kind: 'dma.done'; readonly device: string; readonly pa: number; readonly text: string }
    | {
        readonly kind: 'dma.abort';
        readonly device: string;
        readonly text: string;
        /** The read that was not made any more, where no entry that was read is what stopped the walk. */
        readonly unread?: ReadStep;
      }
    /** A message between IOMMU and device: translation request, completion, invalidation request. */
    | {
        readonly kind: 'ats';
        readonly message: 'request' | 'completion' | 'invalidate' | 'invalidated' | 'timeout';
        readonly device: string;
        readonly text: string;
        /** Of a completion without permissions: see `dma.abort`. */
        readonly unread?: ReadStep;
        /** Of a request: the address, and the PASID or -1. */
        readonly iova?: bigint;
        readonly pasid?: number;
        /** Of a completion that grants something: the physical address. */
        readonly pa?: number;
      }
    /**
     * A page request: first the message of the device, then the record that the IOMMU makes of it; `recorded`, absent on the
     * message, says whether the record reached the queue.
     */
    | {
        readonly kind: 'page.request';
        readonly device: string;
        readonly group: number;
        readonly words: readonly bigint[];
        readonly layout: string;
        readonly recorded?: boolean;
        readonly text: string;
      }
    /** The answer to a page request group; `auto`: the IOMMU gave it without software. */
    | {
        readonly kind: 'page.response';
        readonly device: string;
        readonly group: number;
        readonly code: 'success' | 'invalid request' | 'failure';
        readonly auto: boolean;
        readonly text: string;
      }
    /** A faulting transaction is held until software says how it goes on. */
    | {
        readonly kind: 'stall';
        readonly device: string;
        readonly stag: number;
        readonly text: string;
        /** See `dma.abort`. */
        readonly unread?: ReadStep;
      }
    /** A held transaction goes on. */
    | {
        readonly kind: 'resume';
        readonly device: string;
        readonly stag: number;
        readonly action: 'retry' | 'abort' | 'terminate';
        readonly text: string;
      }
    /** A fault or configuration error; `words` is the record as hardware writes it, `recorded` says whether it reached the queue. */
    | {
        readonly kind: 'fault';
        readonly name: string;
        readonly words: readonly bigint[];
        readonly layout: string;
        readonly recorded: boolean;
        readonly text: string;
      }
    /** A record reaches the guest's event queue. */
    | {
        readonly kind: 'guest.event';
        readonly name: string;
        readonly words: readonly bigint[];
        readonly layout: string;
        readonly text: string;
      }
    | { readonly kind: 'inject'; readonly point: string; readonly action: string; readonly text: string }
    | { readonly kind: 'note'; readonly text: string }
  );

export type TraceKind = TraceEvent['kind'];

/** Receives events; null means that nobody listens and no event is made. */
export type Listener = (event: TraceEvent) => void;

/**
 * Where the actors emit. `listener` is tested before an event is built, so that the hot path makes none.
 */
export class Trace {
  listener: Listener | null = null;
  /** Counts since the last reset, kept whether or not somebody listens. */
  exits = 0;
  ioctls = 0;
  commands = 0;
  syncs = 0;
  reads = 0;

  resetCounts(): void {
    this.exits = this.ioctls = this.commands = this.syncs = this.reads = 0;
  }
}

/** One event as a line of JSON: bigints and numbers of addresses become hexadecimal strings. */
export function eventToJson(e: TraceEvent): string {
  return JSON.stringify(e, (key, v) =>
    typeof v === 'bigint' || (key === 'address' && typeof v === 'number') || (key === 'pa' && typeof v === 'number')
      ? `0x${v.toString(16)}`
      : v,
  );
}
