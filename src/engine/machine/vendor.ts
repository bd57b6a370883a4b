import type { Layout } from '../bits/index.ts';
import type { MemorySnapshot } from '../memory/index.ts';
import type { Trace } from '../trace/index.ts';
import type { Injector, InjectPoint } from './inject.ts';
import type { Op } from './pause.ts';
import type { Inspection, Scene } from './scene.ts';
import type { TableMemory } from './tables.ts';

/** One guest: sizes and addresses in bytes. `backing` is the size of the host pages behind its memory. */
export interface GuestSpec {
  readonly name: string;
  readonly memory: number;
  readonly base: number;
  readonly backing: number;
}

/** What a document says about the machine, after parsing; sizes are bytes. */
export interface PlatformSpec {
  readonly iommu: string;
  readonly features: Readonly<Record<string, boolean | number | string>>;
  readonly memory: number;
  /** Names of the physical units, at least one. */
  readonly iommus: readonly string[];
  /** The first guest. */
  readonly guest: GuestSpec;
  /** The guests, at least one. */
  readonly guests: readonly GuestSpec[];
  readonly policy: Readonly<Record<string, string | number>>;
  readonly deviations: readonly string[];
  readonly setup: 'bare' | 'plugged' | 'booted';
}

export interface DeviceSpec {
  readonly name: string;
  /** Requester id on the host, 16 bits plus segment << 16. For SMMUv3 it is the StreamID. */
  readonly rid: number;
  /** The same in the guest. */
  readonly vrid: number;
  readonly pasidBits: number;
  readonly ats: boolean;
  readonly pri: boolean;
  /** True: its faults can stall (firmware's `dma-can-stall`). */
  readonly stall?: boolean;
  /** Physical unit in front of it; absent: the first. */
  readonly iommu?: string;
  /** Guest that has it; absent: the first. */
  readonly guest?: string;
  /** Virtual unit in front of it in the guest; absent: the guest's one for that physical unit. */
  readonly viommu?: string;
}

/** An operation after parsing: the `do` name and its checked fields. Numbers up to 2^53 are numbers, 64-bit values bigints. */
export interface Operation {
  readonly do: string;
  readonly [field: string]: unknown;
}

/** What became of an operation. Everything an `expect` can ask for and that only the actor knows. */
export interface OpResult {
  /** False: an ioctl failed, a DMA faulted, a command was refused. */
  readonly ok: boolean;
  /** One sentence for the step list. */
  readonly text: string;
  /** `0` or the kernel's name: `EBUSY`. */
  readonly errno?: string;
  /** Struct outputs by uAPI name, or read values. */
  readonly out?: Readonly<Record<string, unknown>>;
  /** Where a DMA arrived. */
  readonly pa?: number;
  /** Vendor's event: its name and decoded fields. */
  readonly fault?: { readonly name: string; readonly fields: Readonly<Record<string, bigint>> };
  /** Cache that answered a DMA: `IOTLB`, `ATC`, or 'none'. */
  readonly hit?: string;
  /** Memory accesses of the walk. */
  readonly reads?: number;
  /** Tag of the transaction, when it still waits for software. */
  readonly stag?: number;
  /** Main result that `as` binds. */
  readonly main?: number | bigint;
}

/** A cached entry that a fresh walk would not give. */
export interface Hazard {
  /** Scene object of the cache. */
  readonly at: string;
  readonly cache: string;
  /** Row id. */
  readonly entry: number;
  readonly cells: readonly string[];
  /** `nic0 still maps 0x10000 in its ATC` */
  readonly text: string;
  /** What a fresh walk gives instead. */
  readonly now: string;
  /** The command that is missing, as text. */
  readonly missing: string;
  /** An operation that a person can trigger to send it, when the guest can send it. */
  readonly remedy?: Operation;
  /** Physical addresses that a fresh walk reads (or the entry was made from): the last write to one of them made it stale. */
  readonly depends: readonly number[];
}

/** A running platform of one vendor. State between operations is plain data. */
export interface Platform {
  /**
   * One operation of the document. Unknown ones never reach it (the schema refuses them).
   * @throws only when a promise inside the engine is broken
   */
  operation(op: Operation): Op<OpResult>;
  /** What `setup` asks for, as step 0. */
  setup(): Op<OpResult>;
  scene(hazards: readonly Hazard[]): Scene;
  /** @returns null when the id names nothing now. `row` is a cache row's id, `index` a queue entry's. */
  inspect(id: string, part?: { row?: number; index?: number }): Inspection | null;
  hazards(): Hazard[];
  /** Operations that make sense on a scene object, with fields filled in. */
  actionsFor(
    id: string,
    part?: { row?: number; index?: number },
  ): { readonly title: string; readonly operation: Operation }[];
  /** Entries now cached, by cache name: for `cached` and `notCached`. Fields by tag name, values as bigint. */
  cached(): { readonly cache: string; readonly fields: Readonly<Record<string, bigint | string>> }[];
  save(): unknown;
  load(state: unknown): void;
  /** Sends on the messages that an injection held back; the machine calls it when the next step starts. */
  deliver?(held: readonly { readonly at: InjectPoint; readonly words: bigint[]; readonly where: string }[]): Op<void>;
  /**
   * Host physical address behind a guest physical one, -1 where there is none: tells which entry a guest's write made stale.
   * `at` is the scene object of the write, which tells whose memory it is.
   */
  resolve?(gpa: number, at: string): number;
  /** Memory as it is now, to compare a later moment with. */
  memoryState?(): MemorySnapshot;
  /** The tables in memory. @param before what entries are compared with; null: nothing has changed */
  tableMemory?(before: MemorySnapshot | null): TableMemory;
}

/** The room of one vendor, as the machine sees it. */
export interface Vendor {
  readonly name: string;
  readonly title: string;
  /** Feature names with their defaults and one sentence each. */
  readonly features: Readonly<Record<string, { readonly default: boolean | number | string; readonly about: string }>>;
  /** What is wrong with features whose names and types are right: one of them and the values that it can have. */
  readonly featureProblem?: (
    features: Readonly<Record<string, boolean | number | string>>,
  ) => { readonly name: string; readonly expected: string } | undefined;
  readonly deviations: readonly { readonly name: string; readonly about: string }[];
  readonly layouts: readonly Layout[];
  /** Typed guest commands for `guest.invalidate`: fields by the vendor's names. */
  readonly commands: readonly Layout[];
  /** Bytes that a raw guest command may have; without it those of `commands`. */
  readonly commandSizes?: readonly number[];
  /** Where this IOMMU's kernel of today is not what the format's default for a policy says: its value by the policy's name. */
  readonly policies?: Readonly<Record<string, string>>;
  /** Fields of the format that mean nothing here, each with the reason: of devices, and of operations by their `do`. */
  readonly lacks?: {
    readonly devices?: Readonly<Record<string, string>>;
    readonly operations?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  };
  /** Names of registers for `register.read` and `register.write`; without it the platform judges them. */
  readonly registers?: readonly string[];
  /** Fields of `Platform.cached()` by cache, so that a misspelt `notCached` is refused instead of always being true. */
  readonly caches?: Readonly<Record<string, readonly string[]>>;
  /** Operations that are modelled; without it all are. Documents with others are refused. */
  readonly operations?: readonly string[];
  create(spec: PlatformSpec, devices: readonly DeviceSpec[], trace: Trace, injector: Injector): Platform;
}
