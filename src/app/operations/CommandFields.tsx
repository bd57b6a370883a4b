import { useId } from 'react';
import type { Field, Layout } from '../../engine/bits/index.ts';
import { bitsText } from '../bits.ts';
import { commandName, isNamed } from './form-values.ts';

interface Props {
  readonly layouts: readonly Layout[];
  readonly layout: Layout;
  readonly values: Readonly<Record<string, string>>;
  readonly errors: ReadonlyMap<string, string>;
  readonly onLayout: (l: Layout) => void;
  readonly onValue: (field: string, v: string) => void;
}

function CommandField({
  f,
  value,
  error,
  onChange,
}: {
  f: Field;
  value: string;
  error?: string;
  onChange: (v: string) => void;
}) {
  const id = useId();
  const names = f.values ? Object.entries(f.values) : null;
  const listed = names && (f.format === 'enum' || f.format === 'flag');
  const common = {
    id,
    'aria-describedby': `${id}a`,
    'aria-invalid': error !== undefined,
    className: 'field h-7',
  } as const;
  return (
    <div>
      <label htmlFor={id} className="mb-0.5 flex items-baseline justify-between gap-2 text-xs font-semibold">
        {f.name}
        <span className="font-mono text-2xs font-normal text-ink-3">[{bitsText(f)}]</span>
      </label>
      {listed ? (
        <select {...common} value={value} onChange={(e) => onChange(e.target.value)}>
          <option value="">0{f.values?.[0] ? `: ${f.values[0]}` : ''}</option>
          {names
            .filter(([v]) => v !== '0')
            .map(([v, name]) => (
              <option key={v} value={v}>
                {v}: {name}
              </option>
            ))}
        </select>
      ) : f.format === 'flag' ? (
        <select {...common} value={value} onChange={(e) => onChange(e.target.value)}>
          <option value="">0</option>
          <option value="1">1</option>
        </select>
      ) : (
        <input
          {...common}
          type="text"
          autoComplete="off"
          spellCheck={false}
          className="field h-7 font-mono"
          placeholder="0"
          value={value}
          onChange={(e) => onChange(e.target.value)}
        />
      )}
      <p id={`${id}a`} className="mt-0.5 text-2xs text-ink-3">
        {error !== undefined && <strong className="block text-removed-ink">{error}</strong>}
        {f.meaning}
      </p>
    </div>
  );
}

/** A command of the vendor by name, with the fields of its layout. */
export function CommandFields({ layouts, layout, values, errors, onLayout, onValue }: Props) {
  const id = useId();
  return (
    <fieldset className="space-y-2.5 rounded-md border border-line p-2.5">
      <legend className="px-1 text-xs font-semibold">command</legend>
      <label htmlFor={id} className="sr-only">
        Command
      </label>
      <select
        id={id}
        className="field font-mono"
        value={commandName(layout)}
        onChange={(e) => {
          const next = layouts.find((l) => commandName(l) === e.target.value);
          if (next) onLayout(next);
        }}
      >
        {layouts.map((l) => (
          <option key={l.id} value={commandName(l)}>
            {commandName(l)}
          </option>
        ))}
      </select>
      <p className="text-2xs text-ink-3">{layout.title}</p>
      {layout.fields
        .filter((f) => !isNamed(f))
        .map((f) => (
          <CommandField
            key={f.name}
            f={f}
            value={values[f.name] ?? ''}
            error={errors.get(f.name)}
            onChange={(v) => onValue(f.name, v)}
          />
        ))}
    </fieldset>
  );
}
