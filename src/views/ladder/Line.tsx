import { memo } from 'react';
import { monoFont, sansFont } from '../topology/colours.ts';
import type { LinePicture, Mark } from './draw.ts';
import { arrowPath, headPath } from './svg.ts';

function MarkShape({ mark: m }: { mark: Mark }) {
  switch (m.kind) {
    case 'text':
      return (
        <text
          y={m.y}
          fontSize={m.size}
          fontFamily={m.face === 'mono' ? monoFont : sansFont}
          className={m.halo ? 'ladder-halo' : undefined}
          xmlSpace="preserve"
          textAnchor={m.end ? 'end' : undefined}
        >
          {m.runs.map((r) => (
            <tspan key={r.x} x={r.x} fill={r.ink} fontWeight={r.weight}>
              {r.text}
            </tspan>
          ))}
        </text>
      );
    case 'box':
      return (
        <rect
          x={m.x}
          y={m.y}
          width={m.w}
          height={m.h}
          rx={3}
          fill={m.fill}
          stroke={m.stroke}
          strokeWidth={m.dashed ? 1.2 : 0.8}
          strokeOpacity={m.dashed ? 1 : 0.5}
          strokeDasharray={m.dashed ? '4 2' : undefined}
        />
      );
    case 'arrow':
      return (
        <>
          <path
            d={arrowPath(m)}
            stroke={m.stroke}
            strokeWidth={m.wide ? 2.4 : 1.3}
            strokeDasharray={m.dashed ? '4 3' : undefined}
            fill="none"
          />
          <path d={headPath(m)} fill={m.stroke} />
        </>
      );
    case 'bar':
      return <rect x={m.x} y={m.y} width={m.w} height={m.h} rx={m.w < 5 ? 0 : 1} fill={m.fill} />;
    case 'chevron':
      return (
        <path
          d={m.open ? `M${m.x} ${m.y - 2}l4.5 4.5 4.5 -4.5` : `M${m.x + 2} ${m.y - 4.5}l4.5 4.5 -4.5 4.5`}
          fill="none"
          className="ladder-chevron"
        />
      );
  }
}

/** The marks of one line, thinly. */
export const LineMarks = memo(function LineMarks({ picture }: { picture: LinePicture }) {
  return picture.marks.map((m, i) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: a line's marks never change places
    <MarkShape key={i} mark={m} />
  ));
});
