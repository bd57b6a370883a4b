import type { Doc, Step, StepRecord } from './engine.ts';
import { emptyHistory, type History } from './history.ts';
import type { Lengths, Place } from './place.ts';
import { defaultSettings, type Settings, type View } from './settings.ts';

/** A record in memory, such as an entry of a table. */
export interface RecordRef {
  readonly space: 'guest' | 'host';
  /** The guest whose memory it is, when there are several. */
  readonly guest?: string;
  readonly address: number;
  /** Id of its layout. */
  readonly layout: string;
}

/**
 * What is selected: a scene object, a part of it (cache row, queue entry), an event of a step, or a record in memory
 * (`id` is then the object that it belongs to, '' without one).
 */
export interface Selection {
  readonly id: string;
  readonly row?: number;
  readonly index?: number;
  /** Event of a step whose own record is shown. */
  readonly event?: { readonly step: number; readonly event: number };
  readonly record?: RecordRef;
}

export interface Notice {
  readonly key: number;
  readonly tone: 'info' | 'error';
  readonly title: string;
  readonly details: readonly string[];
}

/** A question that waits for an answer before anything changes. */
export interface CutQuestion {
  readonly step: Step;
  readonly label: string;
  /** Steps that would go. */
  readonly lost: number;
}

/** A window over the page; only one at a time. */
export type Dialog =
  | { readonly kind: 'palette' }
  | { readonly kind: 'keys' }
  | { readonly kind: 'glossary'; readonly term?: string }
  | { readonly kind: 'documents' }
  | { readonly kind: 'link'; readonly link: string | null; readonly characters: number }
  | { readonly kind: 'picture'; readonly format: 'svg' | 'png' }
  | { readonly kind: 'log'; readonly text?: string }
  | { readonly kind: 'operation'; readonly name: string; readonly values?: Readonly<Record<string, unknown>> };

/** What a presentation shows; null as a state: nobody presents. */
export interface Presenting {
  /** The first slide: title and what the document is about. */
  readonly cover: boolean;
  /** The speaker's view where a step hints at none; `viewAt`: the step for which it was chosen over its hint. */
  readonly view: 'topology' | View;
  readonly viewAt: number | null;
  /** Nothing but black. */
  readonly blank: boolean;
  /** What stands beside the slide while the room asks "what if". */
  readonly side: 'inspector' | 'machine' | 'operations' | null;
  /** When it began, milliseconds since 1970. */
  readonly since: number;
}

export interface State {
  /** False until the page has found out what to open. */
  readonly started: boolean;
  /** Parts that are being loaded because something needs them. */
  readonly loading: number;
  readonly history: History;
  readonly document: Doc | null;
  readonly scenario: string | null;
  /** Index 0 is the setup. */
  readonly records: readonly StepRecord[];
  readonly lengths: Lengths;
  readonly place: Place;
  readonly playing: boolean;
  /** True until the first time that this document is played or moved: there is one obvious thing to press. */
  readonly fresh: boolean;
  readonly selection: Selection | null;
  readonly settings: Settings;
  readonly notices: readonly Notice[];
  readonly cut: CutQuestion | null;
  readonly dialog: Dialog | null;
  readonly presenting: Presenting | null;
  /** A long document is being run: what for, and how many of its steps are done. What was open stays until then. */
  readonly work: { readonly label: string; readonly done: number; readonly total: number } | null;
}

/** How far the last event has come, 0..1: changes each frame, so it lives beside the state. */
export interface HeadState {
  readonly progress: number;
  /** True while one event flies that a person stepped by hand. */
  readonly flying: boolean;
}

/** Before anything is open. */
export const noState: State = {
  started: false,
  loading: 0,
  history: emptyHistory,
  document: null,
  scenario: null,
  records: [],
  lengths: [],
  place: { step: 0, event: 0 },
  playing: false,
  fresh: true,
  selection: null,
  settings: defaultSettings,
  notices: [],
  cut: null,
  dialog: null,
  presenting: null,
  work: null,
};

export const sameSelection = (a: Selection | null, b: Selection | null): boolean =>
  a === b ||
  (a !== null &&
    b !== null &&
    a.id === b.id &&
    a.row === b.row &&
    a.index === b.index &&
    a.event?.step === b.event?.step &&
    a.event?.event === b.event?.event &&
    a.record?.space === b.record?.space &&
    a.record?.guest === b.record?.guest &&
    a.record?.address === b.record?.address &&
    a.record?.layout === b.record?.layout);
