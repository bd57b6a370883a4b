import { memo } from 'react';
import { bandShades, colours, fateShades, monoFont, toneShades } from './colours.ts';
import type { Tone } from './message.ts';
import type { ObjectBox, PlacedText, RingCell, RowBox } from './types.ts';

/** One line of text; a shortened one tells the whole when pointed at. */
export function Text({ t, fill, strike }: { t: PlacedText; fill: string; strike?: boolean }) {
  return (
    <text
      x={t.x}
      y={t.y}
      fontSize={t.size}
      fontWeight={t.face === 'title' ? 600 : 400}
      fontFamily={t.face === 'mono' ? monoFont : undefined}
      textAnchor={t.anchor === 'start' ? undefined : t.anchor}
      textDecoration={strike ? 'line-through' : undefined}
      fill={fill}
      textLength={t.pressed}
      lengthAdjust={t.pressed === undefined ? undefined : 'spacingAndGlyphs'}
    >
      {t.text}
      {t.full !== undefined && <title>{t.full}</title>}
    </text>
  );
}

export interface BoxProps {
  readonly box: ObjectBox;
  readonly selected: boolean;
  /** Refers to the selected object, or is referred to by it. */
  readonly related: boolean;
  /** To be looked at in this step. */
  readonly outlined: boolean;
  readonly selectedRow: number;
  readonly selectedIndex: number;
  readonly markTone: Tone | null;
  readonly markNow: boolean;
  /** Queue entry of the current event, -1 for none. */
  readonly slot: number;
  /** Why rows are stale: `<row>\t<text>\n` each; shown when pointed at. */
  readonly staleTexts: string;
}

const isSame = (a: BoxProps, b: BoxProps): boolean =>
  (Object.keys(a) as (keyof BoxProps)[]).every((k) => a[k] === b[k]);

/** One object with its ring and its rows. Redrawn only when something of it changes. */
export const Box = memo(function Box(p: BoxProps) {
  const { box } = p;
  const shade = bandShades[box.band];
  const mark = p.markTone ? toneShades[p.markTone] : null;
  const stroke = p.selected ? colours.accent : (mark?.line ?? (p.related ? colours.accent : colours.line));
  const width = p.selected || p.markNow ? 2 : mark ? 1.5 : 1;
  return (
    <g opacity={box.gone ? 0.55 : undefined}>
      {/* biome-ignore lint/a11y/useSemanticElements: an SVG drawing has no button element */}
      <g
        role="button"
        tabIndex={-1}
        className="topo-item"
        data-key={box.id}
        data-id={box.id}
        aria-label={box.label}
        aria-pressed={p.selected}
      >
        <rect
          className="topo-frame"
          x={box.x + 0.5}
          y={box.y + 0.5}
          width={box.w - 1}
          height={box.h - 1}
          rx={6}
          fill={p.selected ? colours.accentSoft : colours.panel}
          stroke={stroke}
          strokeWidth={width}
          strokeDasharray={box.gone ? '4 3' : undefined}
        />
        {p.outlined && (
          <rect
            x={box.x - 2.5}
            y={box.y - 2.5}
            width={box.w + 5}
            height={box.h + 5}
            rx={9}
            fill="none"
            stroke={colours.accent}
            strokeWidth={3}
          />
        )}
        <path
          d={`M${box.x + 1.5},${box.y + 5}v${box.h - 10}`}
          stroke={shade.line}
          strokeWidth={3}
          strokeLinecap="round"
        />
        <Text t={box.title} fill={colours.ink} strike={box.gone} />
        {box.lines.map((l, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a line has no other identity than its place
          <Text key={i} t={l} fill={colours.ink2} />
        ))}
        <title>{box.label}</title>
      </g>
      {box.heads.map((h) => (
        <Text key={h.text} t={h} fill={colours.ink3} />
      ))}
      {box.ring.map((c) => (
        <Cell
          key={c.x}
          cell={c}
          box={box}
          now={p.slot === c.index && c.index >= 0}
          selected={p.selectedIndex === c.index && c.index >= 0}
        />
      ))}
      {box.rows.map((r) => (
        <Row
          key={r.id}
          row={r}
          box={box}
          selected={p.selectedRow === r.id}
          why={r.stale ? staleText(p.staleTexts, r.id) : ''}
        />
      ))}
      {box.more && <Text t={box.more} fill={colours.ink3} />}
    </g>
  );
}, isSame);

const staleText = (texts: string, row: number): string =>
  texts
    .split('\n')
    .filter((t) => t.startsWith(`${row}\t`))
    .map((t) => t.slice(t.indexOf('\t') + 1))
    .join(' ');

function Cell({ cell, box, now, selected }: { cell: RingCell; box: ObjectBox; now: boolean; selected: boolean }) {
  const shade = bandShades[box.band];
  const common = { x: cell.x, y: cell.y, width: cell.w, height: cell.h, rx: 2.5 };
  if (cell.state === 'free') return <rect {...common} fill="none" stroke={colours.line} />;
  const error = cell.state === 'error';
  return (
    // biome-ignore lint/a11y/useSemanticElements: an SVG drawing has no button element
    <g
      role="button"
      tabIndex={-1}
      className="topo-item"
      data-key={`${box.id}[${cell.index}]`}
      data-id={box.id}
      data-index={cell.index}
      aria-label={`${box.titleText} entry ${cell.index}: ${cell.text}, ${cell.state}`}
      aria-pressed={selected}
    >
      <rect
        {...common}
        className={now ? 'topo-frame topo-drop' : 'topo-frame'}
        fill={error ? colours.removed : cell.state === 'pending' ? shade.line : colours.panel}
        fillOpacity={cell.state === 'pending' ? 0.9 : 1}
        stroke={selected ? colours.accent : error ? colours.removed : shade.line}
        strokeOpacity={selected || now || cell.state !== 'done' ? 1 : 0.45}
        strokeWidth={selected || now ? 2 : 1}
      />
      {error && (
        <text
          x={cell.x + cell.w / 2}
          y={cell.y + cell.h - 2}
          fontSize={9}
          fontWeight={700}
          textAnchor="middle"
          fill={colours.panel}
        >
          !
        </text>
      )}
      <title>{`${cell.index}: ${cell.text} (${cell.state})`}</title>
    </g>
  );
}

function Row({ row, box, selected, why }: { row: RowBox; box: ObjectBox; selected: boolean; why: string }) {
  const gone = row.fate === 'removed' || row.fate === 'wasted';
  const fate = row.stale && !gone ? 'stale' : row.fate;
  const shade = fate ? fateShades[fate] : null;
  const ink = gone && shade ? shade.ink : colours.ink;
  return (
    // biome-ignore lint/a11y/useSemanticElements: an SVG drawing has no button element
    <g
      role="button"
      tabIndex={-1}
      className="topo-item"
      data-key={`${box.id}#${row.id}`}
      data-id={box.id}
      data-row={row.id}
      aria-label={`${box.titleText}: ${row.label}`}
      aria-pressed={selected}
    >
      <rect
        className="topo-frame"
        x={row.x - 4}
        y={row.y + 0.5}
        width={row.w + 7}
        height={row.h - 1}
        rx={3}
        fill={selected ? colours.accentSoft : (shade?.soft ?? 'transparent')}
        stroke={selected ? colours.accent : (shade?.line ?? 'none')}
        strokeWidth={selected || fate === 'stale' ? 1.5 : 1}
        strokeDasharray={fate === 'stale' && !selected ? '4 2' : undefined}
      />
      {row.cells.map((c) => (
        <Text key={`${c.x},${c.y}`} t={c} fill={ink} strike={gone} />
      ))}
      {row.word && <Text t={row.word} fill={shade?.ink ?? colours.ink} />}
      <title>{why === '' ? row.label : `${row.label}. ${why}`}</title>
    </g>
  );
}
