import { Fragment, useEffect, useMemo, useRef, useState } from 'react';
import { type Explained, explain, hex } from '../../engine/bits/index.ts';
import type { InspectedRecord } from '../../engine/machine/index.ts';
import { Ruler } from './Ruler.tsx';
import { bitsText, segmentsOf } from './ruler.ts';

/** Long records fold their zero fields away; shorter ones show all. */
const foldFrom = 9;

function useWidth(): { ref: (el: HTMLElement | null) => void; width: number } {
  const [el, ref] = useState<HTMLElement | null>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (!el) return;
    const observer = new ResizeObserver(() => setWidth(el.clientWidth));
    observer.observe(el);
    return () => observer.disconnect();
  }, [el]);
  return { ref, width };
}

/** A long number may be broken between its groups. */
function breakable(text: string) {
  return text.split(/(?<=_)/).map((group, i) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: a group is its place
    <Fragment key={i}>
      {i > 0 && <wbr />}
      {group}
    </Fragment>
  ));
}

function FieldRow({ f, active, onActive }: { f: Explained; active: boolean; onActive: (name: string | null) => void }) {
  const { field } = f;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the pointer lights up the field's bits in the ruler
    <div
      className={`-mx-1 grid grid-cols-[1fr_auto] items-baseline gap-x-2 rounded px-1 py-1 ${active ? 'bg-accent-soft' : ''}`}
      onMouseEnter={() => onActive(field.name)}
      onMouseLeave={() => onActive(null)}
    >
      <dt className={`text-xs break-words ${f.applies ? '' : 'text-ink-3'}`}>
        {field.name}{' '}
        <span className="font-mono text-2xs text-ink-3">
          {field.word > 0 ? `w${field.word}` : ''}[{bitsText(field)}]
        </span>
      </dt>
      <dd className={`text-right font-mono text-xs ${f.value !== 0n && f.applies ? 'font-semibold' : 'text-ink-3'}`}>
        {breakable(f.text)}
      </dd>
      <dd className="col-span-2 text-2xs text-ink-3">
        {f.valueName !== '' && <strong className="text-ink-2">{f.valueName}. </strong>}
        {field.meaning}
        {!f.applies && ' Not used with these settings.'}
      </dd>
    </div>
  );
}

/** One record: bytes in memory order, the ruler of its bits, every field with value and meaning, and where it is defined. */
export function RecordView({ record, open = true }: { record: InspectedRecord; open?: boolean }) {
  const { layout, words } = record;
  const [active, setActive] = useState<string | null>(null);
  const [all, setAll] = useState(false);
  const { ref, width } = useWidth();
  const segments = useMemo(() => segmentsOf(layout, words), [layout, words]);
  const fields = useMemo(() => explain(layout, words), [layout, words]);
  const rem = useRef(0);
  if (rem.current === 0) rem.current = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
  const telling = fields.filter((f) => f.value !== 0n && f.applies);
  const folds = fields.length >= foldFrom && telling.length < fields.length;
  const shown = folds && !all ? telling : fields;
  const used = segments.filter((_, w) => words[w] !== 0n || layout.words <= 2);
  const zero = layout.words - used.length;
  return (
    <details open={open} className="group">
      <summary className="flex cursor-pointer list-none items-baseline justify-between gap-2 rounded-sm">
        <span className="text-xs font-semibold break-words">{record.title}</span>
        <span className="shrink-0 text-2xs text-ink-3">
          {layout.name}, {layout.words * 8} bytes
        </span>
      </summary>
      {record.address !== undefined && (
        <p className="mt-0.5 font-mono text-2xs text-ink-3">
          {record.space === 'guest' ? 'guest memory' : 'host memory'} at {hex(record.address)}
        </p>
      )}
      <div ref={ref} className="mt-2">
        {segments.map((s, w) =>
          words[w] === 0n && layout.words > 2 ? null : (
            <Ruler
              // biome-ignore lint/suspicious/noArrayIndexKey: a word is its place
              key={w}
              word={words[w] ?? 0n}
              segments={s}
              at={`+0x${(w * 8).toString(16).padStart(2, '0')}`}
              active={active}
              onActive={setActive}
              characters={width / (rem.current * 0.42)}
            />
          ),
        )}
        {zero > 0 && (
          <p className="-mt-1 mb-2 text-2xs text-ink-3">
            {zero === layout.words ? 'All words are zero.' : `${zero} of ${layout.words} words are zero.`}
          </p>
        )}
      </div>
      <dl aria-label="Fields" className="border-t border-line pt-1">
        {shown.map((f) => (
          <FieldRow key={f.field.name} f={f} active={f.field.name === active} onActive={setActive} />
        ))}
      </dl>
      {folds && (
        <button
          type="button"
          className="mt-1 rounded-sm text-2xs text-accent-ink underline"
          onClick={() => setAll(!all)}
        >
          {all ? 'Only fields that are set' : `All ${fields.length} fields`}
        </button>
      )}
      <p className="mt-1 text-2xs text-ink-3">
        {layout.title}. {layout.source}
      </p>
    </details>
  );
}
