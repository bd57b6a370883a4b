import { halfReader } from '../../bits/index.ts';
import type { DmaOutcome } from '../../pci/index.ts';
import { cdLayout, decodeEvent, eventName, steLayout } from '../layout/index.ts';
import type { SmmuFeatures } from './features.ts';
import { EVENT, type Translator } from './translator.ts';

const cdS = halfReader(cdLayout, 'S');
const cdA = halfReader(cdLayout, 'A');
const steS2s = halfReader(steLayout, 'S2S');

/** What becomes of a transaction that faults. */
export type FaultResponse = 'abort' | 'raz' | 'stall';

/**
 * How the configuration wants the translator's last fault answered: only the four translation-related faults can stall or
 * read as zero, and a stage-1 fault without a CD (out of range in bypass) never does.
 * Source: Arm IHI 0070, 3.12, 5.5.
 */
export function configuredResponse(t: Translator): FaultResponse {
  if (t.event < EVENT.F_TRANSLATION || t.event > EVENT.F_PERMISSION) return 'abort';
  if (t.faultStage === 2) return t.ste !== null && steS2s(t.ste.words, 0) === 1 ? 'stall' : 'abort';
  if (t.cd === null) return 'abort';
  if (cdS(t.cd.words, 0) === 1) return 'stall';
  return cdA(t.cd.words, 0) === 1 ? 'abort' : 'raz';
}

/** The access that a device made, as it is made again. */
export interface HeldRequest {
  readonly device: string;
  readonly sid: number;
  /** -1: none. */
  readonly pasid: number;
  readonly iova: bigint;
  readonly write: boolean;
  readonly exec: boolean;
  readonly priv: boolean;
}

/** A transaction that waits for software. */
export interface Stall extends HeldRequest {
  readonly stag: number;
  /** The record of its fault, Stall set. */
  readonly words: readonly bigint[];
  /** False: the record could not be written yet, so nobody has been told. */
  readonly recorded: boolean;
}

/** A stalled transaction as a driver or a view may see it. */
export interface StalledTransaction extends Stall {
  readonly access: 'read' | 'write';
  /** Name of the event. */
  readonly event: string;
  readonly fields: Record<string, bigint>;
}

/** STAG has sixteen bits. */
const STAGS = 0x10000;

/**
 * Transactions that stalled, oldest first, and what became of those that no longer do. All of it is plain data.
 * Source: Arm IHI 0070, 3.12.2 (tags are not used again before they are acknowledged), 6.3.6 (STALL_MAX).
 */
export class Stalls {
  private list: Stall[] = [];
  private readonly outcomes = new Map<number, DmaOutcome>();
  /** How many stalls may be reported and unanswered at once; more wait at the input. */
  readonly limit: number;

  constructor(f: SmmuFeatures) {
    this.limit = f.idr[5]! >>> 16 || STAGS;
  }

  get count(): number {
    return this.list.length;
  }

  /** True while one more may be reported. */
  get room(): boolean {
    let n = 0;
    for (const s of this.list) if (s.recorded) n++;
    return n < this.limit;
  }

  /** The lowest tag that no stalled transaction has, -1 when there is none. */
  freeTag(): number {
    const used = new Set(this.list.map((s) => s.stag));
    for (let tag = 0; tag < STAGS; tag++) if (!used.has(tag)) return tag;
    return -1;
  }

  add(s: Stall): void {
    this.outcomes.delete(s.stag);
    this.list.push(s);
  }

  /** Those of a stream, or all. */
  of(sid?: number): readonly Stall[] {
    return sid === undefined ? [...this.list] : this.list.filter((s) => s.sid === sid);
  }

  unrecorded(): readonly Stall[] {
    return this.list.filter((s) => !s.recorded);
  }

  /** The reported stall that StreamID and tag name together, which is what CMD_RESUME needs to match. */
  find(sid: number, stag: number): Stall | undefined {
    return this.list.find((s) => s.stag === stag && s.sid === sid && s.recorded);
  }

  remove(s: Stall): void {
    this.list = this.list.filter((x) => x !== s);
  }

  finished(stag: number, outcome: DmaOutcome): void {
    this.outcomes.set(stag, outcome);
  }

  outcomeOf(stag: number): DmaOutcome | null {
    return this.outcomes.get(stag) ?? null;
  }

  waiting(): readonly StalledTransaction[] {
    return this.list.map((s) => ({
      ...s,
      access: s.write ? 'write' : 'read',
      event: eventName(Number(s.words[0]! & 0xffn)),
      fields: decodeEvent(s.words),
    }));
  }

  save(): StallsSnapshot {
    return { list: [...this.list], outcomes: [...this.outcomes].sort((a, b) => a[0] - b[0]) };
  }

  load(s: StallsSnapshot): void {
    this.list = [...s.list];
    this.outcomes.clear();
    for (const [tag, o] of s.outcomes) this.outcomes.set(tag, o);
  }
}

export interface StallsSnapshot {
  /** Entries never change, so they are shared. */
  readonly list: readonly Stall[];
  readonly outcomes: readonly (readonly [number, DmaOutcome])[];
}
