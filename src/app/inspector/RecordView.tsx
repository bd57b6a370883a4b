import { Fragment, useEffect, useMemo, useState } from 'react';
import { type Explained, explain, hex, hexPlain } from '../../engine/bits/index.ts';
import type { InspectedRecord } from '../../engine/machine/index.ts';
import { BitRuler } from '../../views/ruler/index.ts';
import { bitsText, remPixels } from '../bits.ts';
import { useAppStore } from '../context.ts';
import { late } from '../lazy.tsx';

const RecordEditor = late(() => import('../tables/RecordEditor.tsx').then((m) => m.RecordEditor));

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

interface FieldRowProps {
  readonly f: Explained;
  /** Its value before the step, where that was another. */
  readonly was: Explained | null;
  readonly active: boolean;
  readonly onActive: (name: string | null) => void;
}

function FieldRow({ f, was, active, onActive }: FieldRowProps) {
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
      {was && (
        <dd className="col-span-2 text-2xs font-semibold text-kernel-ink">
          ± was {was.text}
          {was.valueName !== '' && ` (${was.valueName})`} before this step
        </dd>
      )}
      <dd className="col-span-2 text-2xs text-ink-3">
        {f.valueName !== '' && <strong className="text-ink-2">{f.valueName}. </strong>}
        {field.meaning}
        {!f.applies && ' Not used with these settings.'}
      </dd>
    </div>
  );
}

/** Whether a record can be edited, and why not. */
function EditOffer({ record, onEdit }: { record: InspectedRecord; onEdit: () => void }) {
  const app = useAppStore();
  const { layout } = record;
  if (record.address !== undefined)
    return (
      <button
        type="button"
        className="btn mt-1.5"
        onClick={onEdit}
        title="Write other bytes here, as a step of the document"
      >
        Edit
      </button>
    );
  if (!layout.id.includes('.reg.'))
    return <p className="mt-1 text-2xs text-ink-3">Read-only: a message or a copy, not a place in memory.</p>;
  const values = { reg: layout.name, value: hexPlain(record.words[0] ?? 0n) };
  return (
    <button
      type="button"
      className="btn mt-1.5"
      title="A register is not memory: it is written by an operation of its own"
      onClick={() => app.showDialog({ kind: 'operation', name: 'register.write', values })}
    >
      Write this register
    </button>
  );
}

/**
 * One record: bytes in memory order, the ruler of its bits, every field with value and meaning, and where it is defined; what
 * lies in memory can be edited.
 * @param before its words before the step, where the step has changed them
 */
export function RecordView({
  record,
  open = true,
  before,
}: {
  record: InspectedRecord;
  open?: boolean;
  before?: readonly bigint[];
}) {
  const { layout, words } = record;
  const [editing, setEditing] = useState<string | null>(null);
  const [active, setActive] = useState<string | null>(null);
  const [all, setAll] = useState(false);
  const { ref, width } = useWidth();
  const fields = useMemo(() => explain(layout, words), [layout, words]);
  const was = useMemo(() => (before ? explain(layout, before) : null), [layout, before]);
  const changed = (i: number): boolean => was !== null && was[i]!.value !== fields[i]!.value;
  const telling = fields.filter((f, i) => (f.value !== 0n && f.applies) || changed(i));
  const folds = fields.length >= foldFrom && telling.length < fields.length;
  const shown = folds && !all ? telling : fields;
  // An edit is of one place: another record under the same title ends it.
  const place = `${record.space ?? ''} ${record.guest ?? ''} ${record.address ?? ''} ${layout.id}`;
  const isEdited = editing === place;
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
        {width > 0 && !isEdited && (
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
        {zero > 0 && !isEdited && (
          <p className="mt-1 text-2xs text-ink-3">
            {zero === layout.words ? 'All words are zero.' : `${zero} of ${layout.words} words are zero.`}
          </p>
        )}
      </div>
      {isEdited ? (
        <RecordEditor record={record} width={width} onDone={() => setEditing(null)} />
      ) : (
        <dl aria-label="Fields" className="border-t border-line pt-1">
          {shown.map((f) => (
            <FieldRow
              key={f.field.name}
              f={f}
              was={changed(fields.indexOf(f)) ? was![fields.indexOf(f)]! : null}
              active={f.field.name === active}
              onActive={setActive}
            />
          ))}
        </dl>
      )}
      {folds && !isEdited && (
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
      {!isEdited && <EditOffer record={record} onEdit={() => setEditing(place)} />}
    </details>
  );
}
