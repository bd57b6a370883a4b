import { useId } from 'react';
import type { Doc } from '../../store/index.ts';
import { type FormValues, isNumberList, type NamedField, namesFor } from './form-values.ts';

interface Props {
  readonly field: NamedField;
  readonly doc: Doc;
  /** Of all fields of the form: some say what others offer. */
  readonly values: FormValues;
  readonly value: string | boolean;
  readonly error: string | undefined;
  readonly onChange: (v: string | boolean) => void;
}

const defaultText = (f: NamedField): string =>
  f.default === undefined ? '' : Array.isArray(f.default) ? f.default.join(', ') : String(f.default);

/** One field with its label, what it means, and what is wrong with it right below. */
export function OperationField({ field: f, doc, values, value, error, onChange }: Props) {
  const id = useId();
  const about = `${id}a`;
  const common = {
    id,
    'aria-describedby': about,
    'aria-invalid': error !== undefined,
    'aria-required': f.required,
  } as const;
  if (f.kind === 'boolean')
    return (
      <div>
        <label className="flex items-center gap-2 text-xs font-semibold">
          <input {...common} type="checkbox" checked={value === true} onChange={(e) => onChange(e.target.checked)} />
          {f.name}
        </label>
        <p id={about} className="mt-0.5 text-2xs text-ink-3">
          {f.about}
        </p>
      </div>
    );
  const text = String(value);
  const offered = f.kind === 'enum' ? (f.values ?? []) : namesFor(f, doc, values);
  // What was chosen before another field changed stays to be seen, with what is wrong with it.
  const choices = offered && text !== '' && !offered.includes(text) ? [...offered, text] : offered;
  const mono = ['number', 'size', 'hex', 'json'].includes(f.kind) ? 'font-mono' : '';
  return (
    <div>
      <label htmlFor={id} className="mb-0.5 flex items-baseline justify-between gap-2 text-xs font-semibold">
        {f.name}
        {!f.required && <span className="text-2xs font-normal text-ink-3">optional</span>}
      </label>
      {choices ? (
        <select {...common} className="field" value={text} onChange={(e) => onChange(e.target.value)}>
          {(!f.required || choices.length === 0) && (
            <option value="">{f.default === undefined ? '–' : `${defaultText(f)} (default)`}</option>
          )}
          {choices
            .filter((c) => f.required || c !== f.default)
            .map((c) => (
              <option key={c} value={c}>
                {c}
              </option>
            ))}
        </select>
      ) : f.kind === 'json' && !isNumberList(f) ? (
        <textarea
          {...common}
          rows={4}
          spellCheck={false}
          className="field scroll-thin font-mono text-xs"
          placeholder={defaultText(f) || '{ }'}
          value={text}
          onChange={(e) => onChange(e.target.value)}
        />
      ) : (
        <>
          <input
            {...common}
            type="text"
            autoComplete="off"
            spellCheck={false}
            className={`field ${mono}`}
            placeholder={defaultText(f)}
            list={f.values ? `${id}l` : undefined}
            value={text}
            onChange={(e) => onChange(e.target.value)}
          />
          {f.values && (
            <datalist id={`${id}l`}>
              {f.values.map((v) => (
                <option key={v} value={v} />
              ))}
            </datalist>
          )}
        </>
      )}
      <p id={about} className="mt-0.5 text-2xs text-ink-3">
        {error !== undefined && <strong className="block text-removed-ink">{error}</strong>}
        {f.about}
      </p>
    </div>
  );
}
