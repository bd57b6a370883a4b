import { type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from 'react';
import { type Explained, explain, hex } from '../../engine/bits/index.ts';
import type { InspectedRecord } from '../../engine/machine/index.ts';
import { BitRuler } from '../../views/ruler/index.ts';
import { bitsText, remPixels } from '../bits.ts';
import { useApp, useAppStore } from '../context.ts';
import { stepTitle } from '../describe.ts';
import {
  type Draft,
  draftOf,
  fieldChanges,
  fieldKey,
  isChanged,
  isSound,
  stepOf,
  typeField,
  typeWord,
  wordChanges,
  wordKey,
} from './edit-record.ts';

interface InputProps {
  readonly f: Explained;
  readonly draft: Draft;
  readonly onDraft: (d: Draft) => void;
  readonly onActive: (name: string | null) => void;
}

/** One field's input by its format: a box to tick, a choice, or a number that is checked. */
function FieldInput({ f, draft, onDraft, onActive }: InputProps) {
  const id = useId();
  const { field } = f;
  const key = fieldKey(field);
  const error = draft.errors[key];
  const set = (text: string): void => onDraft(typeField(draft, field, text));
  const values = Object.entries(field.values ?? {}).filter(([, name]) => name !== '');
  const shared = {
    id,
    onFocus: () => onActive(field.name),
    'aria-describedby': `${id}m`,
    'aria-invalid': error ? true : undefined,
  };
  const known = values.some(([v]) => BigInt(v) === f.value);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the pointer lights up the field's bits in the ruler
    <div
      className="-mx-1 grid grid-cols-[1fr_minmax(6rem,11rem)] items-center gap-x-2 rounded px-1 py-0.5"
      onMouseEnter={() => onActive(field.name)}
      onMouseLeave={() => onActive(null)}
    >
      <label htmlFor={id} className={`text-xs break-words ${f.applies ? '' : 'text-ink-3'}`}>
        {field.name}{' '}
        <span className="font-mono text-2xs text-ink-3">
          {field.word > 0 ? `w${field.word}` : ''}[{bitsText(field)}]
        </span>
      </label>
      {field.format === 'flag' ? (
        <input
          {...shared}
          type="checkbox"
          className="justify-self-end"
          checked={f.value === 1n}
          onChange={(e) => set(e.target.checked ? '1' : '0')}
        />
      ) : field.format === 'enum' && values.length > 0 ? (
        <select
          {...shared}
          className="field h-7 w-full text-xs"
          value={String(f.value)}
          onChange={(e) => set(e.target.value)}
        >
          {!known && <option value={String(f.value)}>{String(f.value)}</option>}
          {values.map(([v, name]) => (
            <option key={v} value={v}>
              {v} {name}
            </option>
          ))}
        </select>
      ) : (
        <input
          {...shared}
          type="text"
          spellCheck={false}
          autoComplete="off"
          className="field h-7 w-full text-right font-mono text-xs"
          value={draft.typed[key] ?? f.text}
          onChange={(e) => set(e.target.value)}
        />
      )}
      <p id={`${id}m`} className={`col-span-2 text-2xs ${error ? 'text-removed-ink' : 'text-ink-3'}`}>
        {error ?? (f.applies ? f.valueName : 'Not used with these settings.')}
      </p>
    </div>
  );
}

function WordInput({ word, draft, onDraft }: { word: number; draft: Draft; onDraft: (d: Draft) => void }) {
  const id = useId();
  const key = wordKey(word);
  const error = draft.errors[key];
  return (
    <div className="min-w-0">
      <label htmlFor={id} className="font-mono text-2xs text-ink-3">
        +{hex(word * 8, 2)}
      </label>
      <input
        id={id}
        type="text"
        spellCheck={false}
        autoComplete="off"
        aria-label={`Word ${word}, hexadecimal`}
        aria-invalid={error ? true : undefined}
        aria-describedby={error ? `${id}m` : undefined}
        className="field h-7 w-full font-mono text-xs"
        value={draft.typed[key] ?? hex(draft.words[word] ?? 0n, 16)}
        onChange={(e) => onDraft(typeWord(draft, word, e.target.value))}
      />
      {error && (
        <p id={`${id}m`} className="text-2xs text-removed-ink">
          {error}
        </p>
      )}
    </div>
  );
}

/** What would be written: words and fields, old and new. */
function Preview({ draft, address }: { draft: Draft; address: number }) {
  const words = wordChanges(draft);
  if (words.length === 0) return <p className="mt-2 text-2xs text-ink-3">Nothing is changed yet.</p>;
  return (
    <div className="mt-2 rounded border border-line bg-sunken p-2 text-xs">
      <h4 className="text-2xs font-semibold">What is written</h4>
      <ul>
        {words.map((w) => (
          <li key={w.word} className="font-mono text-2xs break-all">
            {hex(address + 8 * w.word)}: <del className="text-ink-2">{hex(w.from, 16)}</del> →{' '}
            <ins className="font-semibold no-underline">{hex(w.to, 16)}</ins>
            <span className="text-ink-3"> bits {flipped(w.from ^ w.to)}</span>
          </li>
        ))}
      </ul>
      <ul className="mt-1">
        {fieldChanges(draft).map((c) => (
          <li key={c.name} className="text-2xs break-words">
            ± {c.name}: <del className="text-ink-2">{c.from}</del> →{' '}
            <ins className="font-semibold no-underline">{c.to}</ins>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** Numbers of the bits that change, in ranges: `63:52, 0`. */
function flipped(bits: bigint): string {
  const out: string[] = [];
  for (let b = 63; b >= 0; b--) {
    if (!((bits >> BigInt(b)) & 1n)) continue;
    let lo = b;
    while (lo > 0 && (bits >> BigInt(lo - 1)) & 1n) lo--;
    out.push(lo === b ? `${b}` : `${b}:${lo}`);
    b = lo;
  }
  return out.join(', ');
}

/**
 * A record in memory being edited: by fields or by the words' hex. Applying adds a step to the document that writes the bytes;
 * caches know nothing of it, as on hardware.
 */
export function RecordEditor({
  record,
  width,
  onDone,
}: {
  record: InspectedRecord;
  width: number;
  onDone: () => void;
}) {
  const app = useAppStore();
  const { layout, address, space } = record;
  // What is shown may be what a cache or an event has of it: the edit is of what memory holds.
  const now = useMemo(() => {
    if (address === undefined || space === undefined) return record.words;
    const at = { space, address, layout: layout.id, ...(record.guest === undefined ? {} : { guest: record.guest }) };
    return app.simulation()?.record(app.store.getState().place, at)?.words ?? record.words;
  }, [app, record, address, space, layout]);
  const older = now.some((w, i) => w !== record.words[i]);
  const [draft, setDraft] = useState(() => draftOf(layout, now));
  const [active, setActive] = useState<string | null>(null);
  const [all, setAll] = useState(false);
  const root = useRef<HTMLFormElement>(null);
  useEffect(() => {
    root.current?.querySelector<HTMLElement>('input, select')?.focus();
  }, []);
  const fields = useMemo(() => explain(layout, draft.words), [layout, draft.words]);
  const base = useMemo(() => explain(layout, now), [layout, now]);
  // What is set or used now, and all that was touched; the rest on request.
  const shown =
    all || fields.length < 20
      ? fields
      : fields.filter((f, i) => f.applies && (f.value !== 0n || base[i]!.value !== 0n || f.field.format !== 'hex'));
  // The form stays until the step is there: from an earlier position a question comes first, and no may be the answer.
  const records = useApp((s) => s.records);
  const began = useRef(records);
  useEffect(() => {
    if (records !== began.current) onDone();
  }, [records, onDone]);
  const ready = isChanged(draft) && isSound(draft);

  const apply = (): void => {
    const { document } = app.store.getState();
    if (!ready || !document || address === undefined) return;
    const step = stepOf(draft, record, (document.platform.guests?.length ?? 0) > 1);
    app.runOperation(step, stepTitle(step));
  };
  const onKeyDown = (e: KeyboardEvent): void => {
    // The keys of the page (playing, steps) are not for what is typed here.
    e.stopPropagation();
    if (e.key !== 'Escape') return;
    e.preventDefault();
    onDone();
  };
  return (
    <form
      ref={root}
      aria-label={`Edit ${record.title}`}
      className="mt-2"
      onKeyDown={onKeyDown}
      onSubmit={(e) => {
        e.preventDefault();
        apply();
      }}
    >
      {older && (
        <p className="mb-1 text-2xs text-stale-ink">
          ± What was shown is older: memory now holds other words, and those are edited.
        </p>
      )}
      {width > 0 && (
        <BitRuler
          layout={layout}
          words={draft.words}
          width={width}
          size={Math.round(remPixels() * 0.6875)}
          field={active}
          onField={setActive}
          skipZero={layout.words > 2}
        />
      )}
      <fieldset className="mt-1 grid grid-cols-[repeat(auto-fill,minmax(11rem,1fr))] gap-x-2 gap-y-1">
        <legend className="text-2xs font-semibold">Words</legend>
        {draft.words.map((_, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a word is its place
          <WordInput key={i} word={i} draft={draft} onDraft={setDraft} />
        ))}
      </fieldset>
      <Preview draft={draft} address={address ?? 0} />
      <fieldset className="mt-2">
        <legend className="text-2xs font-semibold">Fields</legend>
        <div className="grid grid-cols-[repeat(auto-fill,minmax(15rem,1fr))] items-start gap-x-6">
          {shown.map((f) => (
            <FieldInput key={fieldKey(f.field)} f={f} draft={draft} onDraft={setDraft} onActive={setActive} />
          ))}
        </div>
        {shown.length < fields.length || all ? (
          <button type="button" className="mt-1 text-2xs text-accent-ink underline" onClick={() => setAll(!all)}>
            {all ? 'Only fields that are used' : `All ${fields.length} fields`}
          </button>
        ) : null}
      </fieldset>
      <div className="sticky -bottom-3 mt-2 flex flex-wrap gap-1.5 bg-panel py-1">
        <button type="submit" className="btn font-semibold" disabled={!ready}>
          Write to memory
        </button>
        <button type="button" className="btn" title="Cancel (Escape)" onClick={onDone}>
          Cancel
        </button>
      </div>
    </form>
  );
}
