import type { TraceEvent } from '../../engine/trace/index.ts';
import { bandShades, colours, fateShades, toneShades } from '../topology/colours.ts';
import { type Face, fitLine, textWidth } from '../topology/measure.ts';
import { actorNames, eventText } from '../trace/text.ts';
import { type Geometry, lineHeight, partyName } from './lanes.ts';
import { type Ladder, nodeOf } from './rows.ts';
import { costParts, costText, plainText, sayCall, sayEvent, sayRun, troubleOf } from './say.ts';
import type { Ends, LadderRow, LadderStep, Run, Saying, Tone } from './types.ts';

export interface PlacedRun {
  readonly text: string;
  readonly x: number;
  readonly w: number;
  readonly weight: 400 | 600 | 700;
  readonly ink: string;
}

/** What a line consists of; y counts from its upper edge. */
export type Mark =
  | {
      readonly kind: 'text';
      readonly x: number;
      readonly y: number;
      readonly w: number;
      readonly size: number;
      readonly face: Face;
      readonly runs: readonly PlacedRun[];
      /** A lane's line may run behind it. */
      readonly halo: boolean;
      /** A single run that ends where its `x` says. */
      readonly end: boolean;
    }
  | {
      readonly kind: 'box';
      readonly x: number;
      readonly y: number;
      readonly w: number;
      readonly h: number;
      readonly fill: string;
      readonly stroke: string;
      readonly dashed: boolean;
    }
  | {
      readonly kind: 'arrow';
      readonly x1: number;
      readonly x2: number;
      readonly y: number;
      readonly stroke: string;
      readonly dashed: boolean;
      readonly wide: boolean;
    }
  | {
      readonly kind: 'bar';
      readonly x: number;
      readonly y: number;
      readonly w: number;
      readonly h: number;
      readonly fill: string;
    }
  | { readonly kind: 'chevron'; readonly x: number; readonly y: number; readonly open: boolean };

export interface LinePicture {
  readonly marks: readonly Mark[];
  /** The whole text in one sentence. */
  readonly full: string;
  /** True when what is drawn is less than what is said. */
  readonly cut: boolean;
}

const size = 11;
const arrowY = 18.5;
const half = lineHeight / 2;

interface Shade {
  readonly line: string;
  readonly ink: string;
  readonly soft: string;
}

function shade(tone: Tone): Shade {
  switch (tone) {
    case 'filled':
    case 'hit':
    case 'stale':
      return fateShades[tone];
    case 'plain':
      return { line: colours.lineStrong, ink: colours.ink, soft: colours.sunken };
    case 'faint':
      return { line: colours.line, ink: colours.ink2, soft: colours.sunken };
    default:
      return toneShades[tone];
  }
}

/** Runs one after the other from `x`, the last ones cut or left out where they don't fit `room`. */
function place(
  runs: readonly Run[],
  x: number,
  room: number,
  face: Face,
  fontSize: number,
  ink: string,
): { placed: PlacedRun[]; w: number; cut: boolean } {
  const placed: PlacedRun[] = [];
  let left = room;
  let at = x;
  for (const r of runs) {
    const text = fitLine(r.text, face, fontSize, left);
    if (text === '') {
      const before = placed[placed.length - 1];
      if (before && !before.text.endsWith('…')) {
        // What was left out must be seen to be: the run before gives up its end for it.
        const head = fitLine(`${before.text.trimEnd()} ……`, face, fontSize, before.w + left).replace(/…+$/, '…');
        placed[placed.length - 1] = { ...before, text: head, w: textWidth(head, face, fontSize) };
      }
      break;
    }
    const w = textWidth(text, face, fontSize);
    placed.push({
      text,
      x: at,
      w,
      weight: r.changed ? 700 : r.strong ? 600 : 400,
      ink: r.changed ? colours.removedInk : ink,
    });
    at += w;
    left -= w;
    if (text !== r.text) break;
  }
  const w = placed.reduce((sum, r) => sum + r.w, 0);
  const cut = placed.length < runs.length || placed.some((r, i) => r.text !== runs[i]!.text);
  return { placed, w, cut };
}

const widthOf = (runs: readonly Run[], face: Face, fontSize: number): number =>
  runs.reduce((sum, r) => sum + textWidth(r.text, face, fontSize), 0);

function text(
  runs: readonly Run[],
  x: number,
  y: number,
  room: number,
  ink: string,
  more: { face?: Face; size?: number; halo?: boolean; end?: true } = {},
): { mark: Mark; cut: boolean } {
  const face = more.face ?? 'mono';
  const fontSize = more.size ?? size;
  const { placed, w, cut } = place(runs, x, room, face, fontSize, ink);
  const mark: Mark = {
    kind: 'text',
    x: more.end ? x - w : x,
    y,
    w,
    size: fontSize,
    face,
    runs: placed,
    halo: more.halo ?? false,
    end: more.end ?? false,
  };
  return { mark, cut };
}

const pad = 8;
/** Room that a note's text usually takes: notes of one lane begin below one another. */
const usual = 330;

/** A note over its lane, as wide as its text; the box always holds the lane's line. */
function note(lane: number, saying: Saying, g: Geometry, dashed = false): { marks: Mark[]; cut: boolean } {
  const s = shade(saying.tone);
  const { x } = g.lanes[lane]!;
  const w = Math.min(Math.ceil(widthOf(saying.runs, 'mono', size)) + 2 * pad, g.right - g.left);
  let from = Math.max(g.left, Math.min(x - 12, g.right - usual));
  // Not on the bar of a call that is under way, where there is room beside it.
  const bar = g.lanes[g.laneOf.get('iommufd') ?? -1]?.x ?? 0;
  if (bar < x - 20 && from < bar + 8 && bar + 8 + w <= g.right) from = bar + 8;
  if (from + w > g.right) from = g.right - w;
  const to = Math.max(from + w, x + 8);
  const t = text(saying.runs, from + pad, 15.5, w - 2 * pad + 0.5, s.ink);
  return {
    marks: [
      { kind: 'box', x: from + 0.5, y: 2.5, w: to - from - 1, h: 19, fill: s.soft, stroke: s.line, dashed },
      { kind: 'bar', x: x - 2, y: 0, w: 4, h: 3, fill: s.line },
      { kind: 'bar', x: x - 2, y: 21, w: 4, h: 3, fill: s.line },
      t.mark,
    ],
    cut: t.cut,
  };
}

/** A message: the text above, the arrow below it. */
function message(from: number, to: number, ends: Ends, saying: Saying, g: Geometry, row: LadderRow, wide: boolean) {
  const s = shade(saying.tone);
  const x1 = g.lanes[from]!.x;
  const x2 = g.lanes[to]!.x;
  const w = widthOf(saying.runs, 'mono', size);
  const low = Math.min(x1, x2);
  const span = Math.abs(x2 - x1);
  const room = g.right - g.left - 4;
  let x = w <= span - 12 ? low + (span - w) / 2 : low + 8;
  // What a call returns does not stand on the call's own bar.
  if (row.edge === 'exit' && w > span - 12 && x2 < x1 && x1 - 8 - w > g.left) x = x1 - 8 - w;
  if (x + Math.min(w, room) > g.right) x = g.right - Math.min(w, room);
  const t = text(saying.runs, Math.max(x, g.left + 4), 12, room + 0.5, s.ink, { halo: true });
  const marks: Mark[] = [{ kind: 'arrow', x1, x2, y: arrowY, stroke: s.line, dashed: ends.reply, wide }, t.mark];
  return { marks, cut: t.cut };
}

/** The lane on which calls are under way is thick as long as they are. */
function calls(row: LadderRow, g: Geometry): Mark[] {
  const lane = g.laneOf.get('iommufd');
  if (lane === undefined || row.calls + (row.edge === 'enter' ? 1 : 0) === 0) return [];
  const top = row.edge === 'enter' && row.calls === 0 ? arrowY : 0;
  const end = row.edge === 'exit' && row.calls === 1 ? arrowY : lineHeight;
  return [{ kind: 'bar', x: g.lanes[lane]!.x - 2.5, y: top, w: 5, h: end - top, fill: bandShades.kernel.line }];
}

function gutter(row: LadderRow, label: string): Mark[] {
  const marks: Mark[] = [];
  if (row.open !== null)
    marks.push({ kind: 'chevron', x: 4 + Math.max(0, Math.min(2, row.depth - 1)) * 8, y: half, open: row.open });
  if (label !== '') {
    const w = textWidth(label, 'mono', size);
    marks.push(text([{ text: label }], 62 - w, 15.5, w + 1, colours.ink3).mark);
  }
  return marks;
}

/** Who says it to whom, for the whole text. */
export const between = (ends: Ends): string =>
  ends.to === null ? partyName(ends.from) : `${partyName(ends.from)} → ${partyName(ends.to)}`;

/** An event in one line: its number, who to whom, what; nothing shortened. */
export function eventSentence(e: TraceEvent, ends: Ends): string {
  const who = between(ends);
  const actor = [ends.from, ends.to].some((p) => p === null || p.startsWith(e.actor))
    ? ''
    : ` (${actorNames[e.actor]})`;
  return `${who}${actor}: ${eventText(e)}`;
}

function stepLine(row: LadderRow, record: LadderStep, title: string, g: Geometry): LinePicture {
  const n = record.eventCount;
  const parts = [n === 1 ? '1 event' : `${n} events`];
  if (!row.open) parts.push(...[costParts(record.cost)].filter((c) => c !== ''));
  const trouble = troubleOf(record);
  const head = row.step === 0 ? title : `Step ${row.step}  ${title}`;
  const x = 22;
  const end = g.width - 10;
  const troubleW = trouble === '' ? 0 : textWidth(trouble, 'text', size) + 14;
  const headW = Math.min(textWidth(head, 'title', 12), (end - x - troubleW) * 0.62);
  const t = text([{ text: head, strong: true }], x, 16, headW + 0.5, colours.ink, { face: 'title', size: 12 });
  const at = end - troubleW;
  const room = at - x - headW - 16;
  const right = text([{ text: parts.join(' · ') }], at, 16, room, colours.ink2, { face: 'text', end: true });
  const marks: Mark[] = [...gutter({ ...row, depth: 0 }, ''), t.mark, right.mark];
  if (trouble !== '') {
    const ink = trouble.includes('✕') ? colours.removedInk : colours.staleInk;
    marks.push(text([{ text: trouble, strong: true }], end, 16, troubleW, ink, { face: 'text', end: true }).mark);
  }
  return {
    marks,
    full: [head.replace('  ', ': '), ...parts, trouble].filter((p) => p !== '').join(' · '),
    cut: t.cut || right.cut,
  };
}

/**
 * One line as it is drawn.
 * @param title  what the step does, for its own line
 */
export function drawLine(ladder: Ladder, row: LadderRow, record: LadderStep, g: Geometry, title: string): LinePicture {
  if (row.kind === 'step') return stepLine(row, record, title, g);
  if (row.kind === 'cost') {
    const says = costText(record.cost);
    const t = text(
      [{ text: 'cost ', strong: true }, { text: says }],
      g.left + 4,
      15.5,
      g.right - g.left - 4,
      colours.ink2,
      {
        face: 'text',
        halo: true,
      },
    );
    return { marks: [t.mark], full: `Cost of the step: ${says}`, cut: t.cut };
  }
  if (row.kind === 'hazard') {
    const h = record.hazards[row.index]!;
    const lane = g.laneOf.get(ladder.parties.of(h.at)) ?? 0;
    const full = `Stale: ${h.text}. Missing: ${h.missing}`;
    const drawn = note(lane, { runs: [{ text: '⚠ stale: ', strong: true }, { text: h.text }], tone: 'stale' }, g, true);
    return { marks: drawn.marks, full, cut: drawn.cut };
  }
  const step = ladder.step(record);
  const index = row.from - 1;
  const e = step.events[index]!;
  const ends = step.ends[index]!;
  const node = nodeOf(step, row);
  const saying =
    node === null || (node.kind === 'call' && row.open)
      ? sayEvent(e)
      : node.kind === 'call'
        ? sayCall(node, step.events)
        : sayRun(node, step.events);
  const from = g.laneOf.get(ends.from) ?? 0;
  const to = ends.to === null ? from : (g.laneOf.get(ends.to) ?? from);
  // A command that a guest writes into its own queue goes nowhere yet.
  const posted = e.kind === 'command.post' && from === to && node === null ? 'post ' : '';
  // On a lane that several share the name goes with the text.
  const shared = [ends.from, ends.to].find((p) => p !== null && g.lanes[g.laneOf.get(p) ?? 0]!.parties.length > 1);
  const before = `${shared ? `${partyName(shared)}: ` : ''}${posted}`;
  const says: Saying = before === '' ? saying : { ...saying, runs: [{ text: before }, ...saying.runs] };
  const wide = node?.kind === 'run';
  const drawn = from === to ? note(from, says, g) : message(from, to, ends, says, g, row, wide);
  const label = row.to < row.from ? '' : `${row.from}`;
  const full =
    node === null || (node.kind === 'call' && row.open)
      ? eventSentence(e, ends)
      : `${between(ends)}: ${plainText(saying)}`;
  return { marks: [...calls(row, g), ...gutter(row, label), ...drawn.marks], full, cut: drawn.cut };
}
