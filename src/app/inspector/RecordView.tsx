import { Fragment, useEffect, useMemo, useState } from 'react';
import { type Explained, explain, hex } from '../../engine/bits/index.ts';
import type { InspectedRecord } from '../../engine/machine/index.ts';
import { BitRuler } from '../../views/ruler/index.ts';
import { bitsText, remPixels } from '../bits.ts';

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
  const fields = useMemo(() => explain(layout, words), [layout, words]);
  const telling = fields.filter((f) => f.value !== 0n && f.applies);
  const folds = fields.length >= foldFrom && telling.length < fields.length;
  const shown = folds && !all ? telling : fields;
  const zero = layout.words > 2 ? words.filter((w) => w === 0n).length : 0;
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
        {width > 0 && (
          <BitRuler
            layout={layout}
            words={words}
            width={width}
            size={Math.round(remPixels() * 0.6875)}
            field={active}
            onField={setActive}
            skipZero={layout.words > 2}
          />
        )}
        {zero > 0 && (
          <p className="mt-1 text-2xs text-ink-3">
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
