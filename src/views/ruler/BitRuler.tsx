import { type KeyboardEvent, memo, useId, useMemo, useRef, useState } from 'react';
import type { Layout } from '../../engine/bits/index.ts';
import { colours, monoFont, sansFont } from '../topology/colours.ts';
import { layoutRuler, offsetText, type RulerRow, type RulerSegment, type RulerWord } from './layout.ts';
import './ruler.css';

export interface BitRulerProps {
  readonly layout: Layout;
  readonly words: readonly bigint[];
  readonly width: number;
  /** Font size in CSS pixels, at least 11. */
  readonly size?: number;
  /** Name of the field that is selected here or in a table beside the ruler. */
  readonly field: string | null;
  /** The pointer or the keyboard has come to a field, or left it. */
  readonly onField: (name: string | null) => void;
  /** Leaves out words that are zero. */
  readonly skipZero?: boolean;
}

/** A record bit by bit: each word's bytes in memory order, and its fields from bit 63 to bit 0 with name and value. */
export const BitRuler = memo(function BitRuler(p: BitRulerProps) {
  const { layout, words, width, size = 11, field, onField } = p;
  const ruler = useMemo(
    () => layoutRuler(layout, words, { width, size, skipZero: p.skipZero }),
    [layout, words, width, size, p.skipZero],
  );
  const hatch = useId();
  const root = useRef<SVGSVGElement>(null);
  const [inside, setInside] = useState(false);

  const onKeyDown = (e: KeyboardEvent): void => {
    const by =
      e.key === 'ArrowRight' || e.key === 'ArrowDown' ? 1 : e.key === 'ArrowLeft' || e.key === 'ArrowUp' ? -1 : 0;
    if (by === 0) return;
    e.preventDefault();
    e.stopPropagation();
    const all = [...(root.current?.querySelectorAll<SVGGElement>('[data-field]') ?? [])];
    const next = all[all.indexOf(document.activeElement as SVGGElement) + by];
    next?.focus();
  };

  return (
    // biome-ignore lint/a11y/useSemanticElements: an SVG drawing has no fieldset
    <svg
      ref={root}
      className="ruler"
      width={width}
      height={ruler.height}
      viewBox={`0 0 ${width} ${ruler.height}`}
      role="group"
      aria-label={`${layout.title}, bit by bit. Arrow keys move between fields.`}
      fontFamily={sansFont}
      fontSize={size}
      tabIndex={inside ? -1 : 0}
      onFocus={(e) => {
        setInside(true);
        if (e.target === root.current) root.current.querySelector<SVGGElement>('[data-field]')?.focus();
      }}
      onBlur={(e) => {
        if (root.current?.contains(e.relatedTarget)) return;
        setInside(false);
        onField(null);
      }}
      onKeyDown={onKeyDown}
      onPointerLeave={() => onField(null)}
    >
      <defs>
        <pattern id={hatch} width={5} height={5} patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
          <rect width={5} height={5} fill={colours.sunken} />
          <path d="M0,0V5" stroke={colours.lineStrong} strokeWidth={1.4} />
        </pattern>
      </defs>
      {ruler.words.map((w) => (
        <Word key={w.word} word={w} field={field} onField={onField} size={size} hatch={hatch} />
      ))}
    </svg>
  );
});

interface PartProps {
  readonly field: string | null;
  readonly onField: (name: string | null) => void;
  readonly size: number;
  readonly hatch: string;
}

function Word({ word, ...rest }: PartProps & { readonly word: RulerWord }) {
  const lit = word.rows.flatMap((r) => r.segments).filter((s) => s.field && s.field.field.name === rest.field);
  const isLit = (lo: number): boolean => lit.some((s) => lo <= s.hi && lo + 7 >= s.lo);
  return (
    <g>
      <text x={0} y={word.bytesY} fill={colours.ink3}>
        {offsetText(word.word)}
      </text>
      {word.bytes.map((b) => (
        <text
          key={b.lo}
          x={b.x}
          y={word.bytesY}
          fontFamily={monoFont}
          fontWeight={isLit(b.lo) ? 700 : 400}
          fill={isLit(b.lo) ? 'var(--accent-ink, #1d4ed8)' : b.text === '00' ? colours.ink3 : colours.ink}
        >
          {b.text}
        </text>
      ))}
      {word.rows.map((r) => (
        <Row key={r.hi} row={r} {...rest} />
      ))}
    </g>
  );
}

function Row({ row, ...rest }: PartProps & { readonly row: RulerRow }) {
  return (
    <g>
      {row.ticks.map((t) => (
        <text key={t.text} x={t.x} y={t.y} fill={colours.ink3} textAnchor={t.anchor === 'start' ? undefined : t.anchor}>
          {t.text}
        </text>
      ))}
      {row.segments.map(
        (s) =>
          s.name &&
          s.name.y > row.y + row.h + rest.size * 1.2 && (
            <path
              key={s.hi}
              d={`M${s.x + s.w / 2},${row.y + row.h}V${s.name.y - rest.size * 0.85}`}
              stroke={colours.lineStrong}
            />
          ),
      )}
      {row.segments.map((s) => (
        <Segment key={s.hi} segment={s} row={row} {...rest} />
      ))}
    </g>
  );
}

function Segment({
  segment: s,
  row,
  field,
  onField,
  size,
  hatch,
}: PartProps & { readonly segment: RulerSegment; readonly row: RulerRow }) {
  const name = s.field?.field.name ?? null;
  const lit = name !== null && name === field;
  const set = s.field !== null && s.field.value !== 0n && s.field.applies;
  const fill = lit
    ? 'var(--accent-soft, #eef4ff)'
    : s.wrong
      ? colours.removedSoft
      : s.field
        ? s.field.applies
          ? colours.panel
          : colours.sunken
        : `url(#${hatch})`;
  const stroke = lit ? colours.accent : s.wrong ? colours.removed : colours.lineStrong;
  const ink = s.wrong ? colours.removedInk : lit ? 'var(--accent-ink, #1d4ed8)' : set ? colours.ink : colours.ink3;
  const base = row.y + row.h / 2 + size * 0.36;
  return (
    // biome-ignore lint/a11y/useSemanticElements: an SVG drawing has no button element
    <g
      role="button"
      className="ruler-field"
      tabIndex={-1}
      data-field={name ?? ''}
      aria-label={s.label}
      aria-pressed={lit}
      onPointerEnter={() => onField(name)}
      onFocus={() => onField(name)}
    >
      <rect
        x={s.x + 0.5}
        y={row.y + 0.5}
        width={Math.max(1, s.w - 1)}
        height={row.h - 1}
        rx={3}
        fill={fill}
        stroke={stroke}
        strokeWidth={lit || s.wrong ? 1.5 : 1}
      />
      {s.value !== '' && (
        <text
          x={s.x + s.w / 2}
          y={base}
          textAnchor="middle"
          fontFamily={monoFont}
          fontWeight={set || s.wrong ? 600 : 400}
          fill={ink}
        >
          {s.value}
        </text>
      )}
      {s.name && (
        <text
          x={s.name.x}
          y={s.name.y}
          textAnchor="middle"
          fill={lit ? 'var(--accent-ink, #1d4ed8)' : s.name.isBits ? colours.ink3 : colours.ink2}
          fontWeight={lit ? 600 : 400}
          stroke={colours.panel}
          strokeWidth={3}
          paintOrder="stroke"
        >
          {s.name.text}
        </text>
      )}
      <title>{s.label}</title>
    </g>
  );
}
