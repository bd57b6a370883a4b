import { memo, useLayoutEffect, useRef } from 'react';
import { colours, monoFont, toneShades } from './colours.ts';
import { headPath } from './Ground.tsx';
import type { Label } from './label.ts';
import type { Tone } from './message.ts';
import { type Flight, flightAt, type Note, type Trail } from './motion.ts';
import { roundedPath } from './route.ts';

/** How far the current event has come, 0..1: a number, or where to ask each frame. */
export type Progress = number | { readonly get: () => number; readonly subscribe: (f: () => void) => () => void };

export function LabelView({ label, tone, faint }: { label: Label; tone: Tone; faint: boolean }) {
  const shade = toneShades[tone];
  return (
    <g>
      <rect
        x={label.x + 0.5}
        y={label.y + 0.5}
        width={label.w - 1}
        height={label.h - 1}
        rx={Math.min(8, label.h / 2)}
        fill={faint ? colours.panel : shade.soft}
        stroke={shade.line}
        strokeOpacity={faint ? 0.45 : 1}
      />
      {label.lines.map((runs) => (
        <text
          key={runs[0]?.y}
          y={runs[0]?.y}
          fontSize={runs[0]?.size}
          fontFamily={monoFont}
          xmlSpace="preserve"
          style={{ whiteSpace: 'pre' }}
        >
          {runs.map((r) => (
            <tspan
              key={r.x}
              x={r.x}
              fill={r.tone === 'changed' ? colours.removedInk : r.tone === 'faint' ? colours.ink2 : shade.ink}
              fontWeight={r.tone === 'changed' ? 700 : undefined}
            >
              {r.text}
            </tspan>
          ))}
        </text>
      ))}
    </g>
  );
}

/** Earlier messages of the step: the whole way can be seen at its end. */
export const Trails = memo(function Trails({ trail }: { trail: readonly Trail[] }) {
  return (
    <g>
      {trail.map((t) => {
        const shade = toneShades[t.tone];
        return (
          <g key={t.id} opacity={0.62}>
            <path
              d={roundedPath(t.points, 8)}
              fill="none"
              stroke={shade.line}
              strokeWidth={1.6}
              strokeDasharray="5 4"
            />
            <path d={headPath(t.points, 6.5)} fill={shade.line} />
          </g>
        );
      })}
    </g>
  );
});

/** What they were: above every line, so that none strikes a text through. */
export const TrailLabels = memo(function TrailLabels({ trail }: { trail: readonly Trail[] }) {
  return <g>{trail.map((t) => t.label && <LabelView key={t.id} label={t.label} tone={t.tone} faint />)}</g>;
});

export const NoteView = memo(function NoteView({ note }: { note: Note }) {
  const shade = toneShades[note.tone];
  return (
    <g className="topo-appear">
      {note.connector.length > 0 && (
        <path
          d={roundedPath(note.connector, 0)}
          stroke={shade.line}
          strokeWidth={1.6}
          strokeDasharray="5 4"
          fill="none"
        />
      )}
      <LabelView label={note.label} tone={note.tone} faint={false} />
    </g>
  );
});

const read = (p: Progress): number => (typeof p === 'number' ? p : p.get());

/** The way of the message in flight. */
export const FlightWay = memo(function FlightWay({ flight }: { flight: Flight }) {
  const shade = toneShades[flight.tone];
  return (
    <g>
      <path d={roundedPath(flight.points, 8)} fill="none" stroke={shade.line} strokeWidth={2} strokeDasharray="5 4" />
      <path d={headPath(flight.points, 7.5)} fill={shade.line} />
    </g>
  );
});

/** What is in flight on it. Only two transforms change while it moves; React is not asked. */
export function FlightView({ flight, progress, still }: { flight: Flight; progress: Progress; still: boolean }) {
  const dot = useRef<SVGGElement>(null);
  const label = useRef<SVGGElement>(null);
  useLayoutEffect(() => {
    const place = (): void => {
      const p = still ? 1 : read(progress);
      const at = flightAt(flight, p);
      if (dot.current) {
        dot.current.style.transform = `translate(${at.dot.x.toFixed(1)}px, ${at.dot.y.toFixed(1)}px)`;
        dot.current.style.opacity = p >= 1 ? '0' : '1';
      }
      if (label.current)
        label.current.style.transform = `translate(${at.label.x.toFixed(1)}px, ${at.label.y.toFixed(1)}px)`;
    };
    place();
    if (typeof progress === 'number' || still) return;
    return progress.subscribe(place);
  }, [flight, progress, still]);
  const shade = toneShades[flight.tone];
  return (
    <g>
      {flight.label && (
        <g ref={label} style={{ willChange: 'transform' }}>
          <LabelView label={flight.label} tone={flight.tone} faint={false} />
        </g>
      )}
      <g ref={dot} style={{ willChange: 'transform' }}>
        <circle r={5.5} fill={shade.line} stroke={colours.panel} strokeWidth={1.5} />
      </g>
    </g>
  );
}
