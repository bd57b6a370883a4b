import { colours, monoFont, sansFont } from '../topology/colours.ts';
import { drawLine, type LinePicture, type Mark } from './draw.ts';
import { foldAll } from './folds.ts';
import { headHeight, headSize, layoutLanes, lineHeight } from './lanes.ts';
import type { Parties } from './parties.ts';
import { Ladder } from './rows.ts';
import type { Folds, LadderStep } from './types.ts';

type Arrow = Mark & { readonly kind: 'arrow' };
const headLength = 7;

/** The line of an arrow up to its head. */
export const arrowPath = ({ x1, x2, y }: Arrow): string => `M${x1} ${y}H${x2 > x1 ? x2 - headLength : x2 + headLength}`;

export function headPath({ x1, x2, y }: Arrow): string {
  const back = x2 > x1 ? -headLength : headLength;
  return `M${x2} ${y}l${back} -3.5v7z`;
}

const escapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escaped = (s: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: XML has no way to write them
  s.replace(/[&<>"]/g, (c) => escapes[c]!).replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd');

function markSvg(m: Mark): string {
  switch (m.kind) {
    case 'text': {
      const runs = m.runs
        .map((r) => `<tspan x="${r.x}" fill="${r.ink}" font-weight="${r.weight}">${escaped(r.text)}</tspan>`)
        .join('');
      const halo = m.halo
        ? ` stroke="${colours.panel}" stroke-width="3" paint-order="stroke" stroke-linejoin="round"`
        : '';
      const font = m.face === 'mono' ? monoFont : sansFont;
      return `<text y="${m.y}" font-size="${m.size}" font-family="${escaped(font)}" xml:space="preserve"${m.end ? ' text-anchor="end"' : ''}${halo}>${runs}</text>`;
    }
    case 'box':
      return `<rect x="${m.x}" y="${m.y}" width="${m.w}" height="${m.h}" rx="3" fill="${m.fill}" stroke="${m.stroke}" stroke-width="${m.dashed ? 1.2 : 0.8}"${m.dashed ? ' stroke-dasharray="4 2"' : ' stroke-opacity="0.5"'}/>`;
    case 'arrow':
      return `<path d="${arrowPath(m)}" stroke="${m.stroke}" stroke-width="${m.wide ? 2.4 : 1.3}" fill="none"${m.dashed ? ' stroke-dasharray="4 3"' : ''}/><path d="${headPath(m)}" fill="${m.stroke}"/>`;
    case 'bar':
      return `<rect x="${m.x}" y="${m.y}" width="${m.w}" height="${m.h}" fill="${m.fill}"/>`;
    case 'chevron':
      // A picture has nothing to fold.
      return '';
  }
}

export const pictureSvg = (p: LinePicture): string =>
  `<g><title>${escaped(p.full)}</title>${p.marks.map(markSvg).join('')}</g>`;

export interface LadderPictureInput {
  readonly parties: Parties;
  readonly steps: readonly LadderStep[];
  /** What a step does, by its number. */
  readonly titleOf: (step: number) => string;
  /** Numbers of the steps to draw. */
  readonly show: readonly number[];
  readonly width: number;
  /** Step at the playing head; with it the steps are as folded as `folds` say, without it all of them are open. */
  readonly current?: number;
  /** Without it calls are open and runs are folded. */
  readonly folds?: Folds;
  /** Lines to draw at most; a picture of more is of no use. */
  readonly most?: number;
}

/**
 * Chosen steps as one drawing that stands on its own. Colours are `var(--name, #value)`: the page's where it has them,
 * else the light ones.
 */
export function ladderSvg(input: LadderPictureInput): string {
  const { steps, titleOf, show, most = 2000 } = input;
  const ladder = new Ladder(input.parties);
  const g = layoutLanes(ladder.present(show.map((i) => steps[i]!)), input.width, input.parties.known());
  const base = input.folds ?? foldAll('auto');
  const open: Folds =
    input.current === undefined ? { ...base, steps: new Map(steps.map((_, i) => [i, show.includes(i)])) } : base;
  const rows = ladder.rows(steps, open, input.current ?? -1);
  const lines: string[] = [];
  let y = headHeight + 4;
  let left = 0;
  for (const step of show) {
    const end = step + 1 < steps.length ? rows.indexOf(step + 1, 0) : rows.count;
    for (const row of rows.slice(rows.indexOf(step, 0), end)) {
      if (lines.length >= most) {
        left++;
        continue;
      }
      const back =
        row.kind === 'step'
          ? `<rect x="0" y="${y}" width="${g.width}" height="${lineHeight}" fill="${colours.sunken}"/>`
          : '';
      lines.push(
        `${back}<g transform="translate(0 ${y})">${pictureSvg(drawLine(ladder, row, steps[step]!, g, titleOf(step)))}</g>`,
      );
      y += lineHeight;
    }
  }
  if (left > 0) {
    lines.push(
      `<text x="${g.left}" y="${y + 15}" font-size="11" font-family="${escaped(sansFont)}" fill="${colours.ink2}">and ${left} more lines</text>`,
    );
    y += lineHeight;
  }
  const height = y + 6;
  const lanes = g.lanes
    .map(
      (l) =>
        `<path d="M${l.x} ${headHeight}V${height}" stroke="${colours.lineStrong}" stroke-opacity="0.7"/>` +
        `<text x="${l.x}" y="15" text-anchor="middle" font-size="${headSize}" font-weight="600" font-family="${escaped(sansFont)}" fill="${laneInk(l.tone)}"><title>${escaped(l.full)}</title>${escaped(l.title)}</text>`,
    )
    .join('');
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${g.width}" height="${height}" viewBox="0 0 ${g.width} ${height}" role="img" aria-label="Ladder">` +
    `<rect width="${g.width}" height="${height}" fill="${colours.panel}"/>${lanes}${lines.join('')}</svg>`
  );
}

const inks = {
  guest: 'var(--guest-ink, #0b6b63)',
  vmm: 'var(--vmm-ink, #6d28d9)',
  iommufd: 'var(--kernel-ink, #1d4ed8)',
  driver: 'var(--kernel-ink, #1d4ed8)',
  iommu: 'var(--hardware-ink, #94430a)',
  device: 'var(--hardware-ink, #94430a)',
} as const;
const laneInk = (tone: keyof typeof inks): string => inks[tone];
