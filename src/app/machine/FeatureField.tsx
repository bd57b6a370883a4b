import { useEffect, useState } from 'react';
import { findVendor } from '../../engine/machine/vendors.ts';
import { useAppStore } from '../context.ts';
import { featureValue, withFeature } from './change.ts';

interface Props {
  readonly name: string;
  readonly about: string;
  readonly standard: boolean | number | string;
  /** As the document has it; undefined: the default. */
  readonly value: boolean | number | string | undefined;
}

/** One feature: a switch, or a value that is taken when the field is left or Enter is pressed. */
export function FeatureField({ name, about, standard, value }: Props) {
  const app = useAppStore();
  const now = value ?? standard;
  const [text, setText] = useState(String(now));
  const [wrong, setWrong] = useState(false);
  useEffect(() => setText(String(now)), [now]);
  const set = (v: boolean | number | string): void => {
    const platform = app.store.getState().document?.platform;
    const vendor = platform && findVendor(platform.iommu);
    if (platform && vendor && v !== now)
      app.changeMachine({ platform: withFeature(platform, vendor, name, v) }, `Set ${name} to ${v}`);
    // What was refused (a message says why) does not stand there as if it held.
    const has = app.store.getState().document?.platform.features?.[name] ?? standard;
    if (has !== v) setText(String(has));
  };
  const take = (): void => {
    const v = featureValue(text, standard);
    setWrong(v === null);
    if (v !== null) set(v);
  };
  const id = `feature-${name}`;
  const changed = now !== standard && (
    <button
      type="button"
      className="rounded-sm text-2xs font-normal text-accent-ink underline"
      onClick={() => set(standard)}
    >
      back to {String(standard)}
    </button>
  );
  return (
    <li>
      {typeof standard === 'boolean' ? (
        <div className="flex items-center gap-2">
          <label className="flex items-center gap-2 font-mono text-xs font-semibold">
            <input
              type="checkbox"
              checked={now === true}
              aria-describedby={`${id}-about`}
              onChange={(e) => set(e.target.checked)}
            />
            {name}
          </label>
          {changed}
        </div>
      ) : (
        <div className="flex items-center gap-2">
          <label htmlFor={id} className="font-mono text-xs font-semibold">
            {name}
          </label>
          <input
            id={id}
            className="field h-7 w-20 font-mono"
            aria-describedby={`${id}-about`}
            autoComplete="off"
            spellCheck={false}
            value={text}
            aria-invalid={wrong}
            onChange={(e) => {
              setText(e.target.value);
              setWrong(false);
            }}
            onBlur={take}
            onKeyDown={(e) => {
              if (e.key === 'Enter') take();
              if (e.key === 'Escape' && wrong) {
                setText(String(now));
                setWrong(false);
                e.stopPropagation();
              }
            }}
          />
          {changed}
        </div>
      )}
      <p id={`${id}-about`} className="mt-0.5 text-xs text-ink-2">
        {wrong && (
          <strong className="block text-removed-ink">a whole number is needed; it is still {String(now)}</strong>
        )}
        {about}
      </p>
    </li>
  );
}
