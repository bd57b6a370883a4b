import { hex } from '../../engine/bits/index.ts';
import { bitsText, bytesOf, type Segment, shortValue } from './ruler.ts';

/** A character's width in bits of the ruler; what does not fit is left to the table and the title. */
interface Props {
  readonly word: bigint;
  readonly segments: readonly Segment[];
  /** Address or offset in front of the bytes. */
  readonly at: string;
  readonly active: string | null;
  readonly onActive: (field: string | null) => void;
  /** How many characters fit in the whole row. */
  readonly characters: number;
}

const percent = (bits: number): string => `${(bits / 64) * 100}%`;

function titleOf(s: Segment): string {
  if (!s.field)
    return s.reserved === 0n ? `[${bitsText(s)}] reserved` : `[${bitsText(s)}] reserved, but ${hex(s.reserved)}`;
  const f = s.field;
  const name = f.valueName === '' ? '' : ` (${f.valueName})`;
  return `${f.field.name} [${bitsText(s)}] = ${f.text}${name}\n${f.field.meaning}`;
}

/** One 64-bit word: its bytes in memory order, and its fields in place from bit 63 to bit 0. */
export function Ruler({ word, segments, at, active, onActive, characters }: Props) {
  const shown = segments.find((s) => s.field && s.field.field.name === active);
  const room = (s: Segment): number => ((s.hi - s.lo + 1) / 64) * characters;
  return (
    <div>
      <div className="flex gap-2 font-mono text-2xs">
        <span className="w-22 shrink-0 text-ink-3">{at}</span>
        <span>
          {bytesOf(word).map((b, i) => {
            const lit = shown && i * 8 <= shown.hi && i * 8 + 7 >= shown.lo;
            return (
              <span
                // biome-ignore lint/suspicious/noArrayIndexKey: a byte is its place
                key={i}
                className={`${lit ? 'bg-accent-soft text-accent-ink' : b === '00' ? 'text-ink-3' : ''} mr-[0.45em]`}
              >
                {b}
              </span>
            );
          })}
        </span>
      </div>
      <div className="relative mt-0.5 mb-4 h-5.5 rounded border border-line-strong bg-sunken">
        {segments.map((s) => {
          const f = s.field;
          const value = f ? shortValue(f) : s.reserved === 0n ? '' : hex(s.reserved);
          const lit = f !== null && f.field.name === active;
          const set = f ? f.value !== 0n : s.reserved !== 0n;
          const look = lit
            ? 'bg-accent text-on-accent'
            : !f
              ? s.reserved === 0n
                ? ''
                : 'bg-removed-soft text-removed-ink'
              : f.applies
                ? set
                  ? 'bg-panel font-semibold'
                  : 'bg-panel text-ink-3'
                : 'text-ink-3';
          const name = f?.field.name ?? '';
          return (
            // biome-ignore lint/a11y/noStaticElementInteractions: the pointer lights up what the table lists; the table has the focus
            <div
              key={s.hi}
              title={titleOf(s)}
              style={{ left: percent(63 - s.hi), width: percent(s.hi - s.lo + 1) }}
              className="absolute inset-y-0"
              onMouseEnter={() => onActive(f ? f.field.name : null)}
              onMouseLeave={() => onActive(null)}
            >
              <div
                className={`grid h-full place-items-center overflow-hidden border-r border-line-strong font-mono text-2xs ${s.lo === 0 ? 'border-r-0' : ''} ${look}`}
              >
                {value.length <= room(s) ? value : ''}
              </div>
              {name !== '' && name.length <= room(s) * 1.15 && (
                <div
                  className={`mt-px text-center text-[0.625rem] leading-3 whitespace-nowrap ${lit ? 'text-accent-ink' : 'text-ink-3'}`}
                >
                  {name}
                </div>
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}
