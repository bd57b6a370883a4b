import { memo } from 'react';
import { Text } from './Box.tsx';
import { bandShades, colours } from './colours.ts';
import { textWidth } from './measure.ts';
import { roundedPath } from './route.ts';
import type { Arrow, BandBox, Chip, Fold, PlacedText, Point } from './types.ts';

/** The four bands with their names. */
export const Bands = memo(function Bands({ bands }: { bands: readonly BandBox[] }) {
  return bands.map((b) => {
    const shade = bandShades[b.band];
    return (
      <g key={b.band}>
        <rect x={b.x} y={b.y} width={b.w} height={b.h} fill={shade.soft} />
        <rect x={b.x} y={b.y} width={3} height={b.h} fill={shade.line} />
        <path d={`M${b.x},${b.y + b.h - 0.5}h${b.w}`} stroke={colours.line} />
        <text
          x={b.title.x}
          y={b.title.y}
          fontSize={b.title.size}
          fontWeight={700}
          letterSpacing="0.1em"
          fill={shade.ink}
        >
          {b.title.text}
        </text>
        {b.subtitle && <Text t={b.subtitle} fill={colours.ink3} />}
      </g>
    );
  });
});

/** A triangle at the end of a path, pointing along its last piece. */
export function headPath(points: readonly Point[], size: number): string {
  const b = points[points.length - 1];
  const a = points[points.length - 2];
  if (!a || !b) return '';
  const l = Math.hypot(b.x - a.x, b.y - a.y) || 1;
  const ux = (b.x - a.x) / l;
  const uy = (b.y - a.y) / l;
  const half = size * 0.55;
  const x = b.x - ux * size;
  const y = b.y - uy * size;
  return `M${b.x},${b.y}L${x - uy * half},${y + ux * half}L${x + uy * half},${y - ux * half}Z`;
}

/** References between objects; those of the selected one stand out. */
export const Arrows = memo(function Arrows({
  arrows,
  selected,
}: {
  arrows: readonly Arrow[];
  selected: string | null;
}) {
  const isOf = (a: Arrow): boolean => selected !== null && (a.from === selected || a.to === selected);
  const ordered = [...arrows].sort((a, b) => Number(isOf(a)) - Number(isOf(b)));
  return ordered.map((a) => {
    const stands = isOf(a);
    const stroke = stands ? colours.accent : colours.lineStrong;
    return (
      <g key={a.id}>
        <path d={roundedPath(a.points, 4)} fill="none" stroke={stroke} strokeWidth={stands ? 1.8 : 1.2} />
        <path d={headPath(a.points, 5.5)} fill={stroke} />
        {a.label !== '' && <title>{a.label}</title>}
      </g>
    );
  });
});

/** Devices without a column; opening it gives every device one. */
export const FoldColumn = memo(function FoldColumn({ fold }: { fold: Fold }) {
  const first = fold.boxes[0];
  const last = fold.boxes[fold.boxes.length - 1];
  if (!first || !last) return null;
  return (
    // biome-ignore lint/a11y/useSemanticElements: an SVG drawing has no button element
    <g
      role="button"
      tabIndex={-1}
      className="topo-item"
      data-key="fold"
      data-fold=""
      aria-label={fold.label}
      aria-expanded={false}
    >
      {fold.boxes.map((b) => (
        <g key={b.band}>
          <rect
            className="topo-frame"
            x={b.x + 0.5}
            y={b.y + 0.5}
            width={b.w - 1}
            height={b.h - 1}
            rx={6}
            fill={colours.panel}
            fillOpacity={0.6}
            stroke={colours.lineStrong}
            strokeDasharray="4 3"
          />
          {b.texts.map((t, i) => (
            <Text key={t.text} t={t} fill={i === 0 ? colours.ink : colours.ink2} />
          ))}
        </g>
      ))}
      <title>{`${fold.label}. Press to show them all.`}</title>
    </g>
  );
});

/** Folds the devices again. */
export function Refold({ text: t }: { text: PlacedText }) {
  const w = textWidth(t.text, t.face, t.size) + 12;
  return (
    // biome-ignore lint/a11y/useSemanticElements: an SVG drawing has no button element
    <g
      role="button"
      tabIndex={-1}
      className="topo-item"
      data-key="fold"
      data-fold=""
      aria-label={t.text}
      aria-expanded={true}
    >
      <rect
        className="topo-frame"
        x={t.x - 6}
        y={t.y - t.size - 1}
        width={w}
        height={t.size * 1.45}
        rx={t.size * 0.7}
        fill={colours.panel}
        stroke={colours.lineStrong}
      />
      <Text t={t} fill={colours.ink2} />
    </g>
  );
}

/** One switch a guest or unit. */
export const Chips = memo(function Chips({ chips }: { chips: readonly Chip[] }) {
  return chips.map((c) => (
    // biome-ignore lint/a11y/useSemanticElements: an SVG drawing has no button element
    <g
      key={c.section}
      role="button"
      tabIndex={-1}
      className="topo-item"
      data-key={`chip:${c.section}`}
      data-section={c.section}
      aria-label={`${c.folded ? 'Show' : 'Fold'} ${c.section}`}
      aria-expanded={!c.folded}
    >
      <rect
        className="topo-frame"
        x={c.x}
        y={c.y}
        width={c.w}
        height={c.h}
        rx={c.h / 2}
        fill={colours.panel}
        stroke={colours.lineStrong}
        strokeDasharray={c.folded ? '4 3' : undefined}
      />
      <Text t={c.text} fill={c.folded ? colours.ink2 : colours.ink} />
    </g>
  ));
});
