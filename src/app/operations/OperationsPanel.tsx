import { useState } from 'react';
import { bandOfOperation, bandStyle } from '../actors.ts';
import { useApp } from '../context.ts';
import { Icon } from '../Icon.tsx';
import { rove } from '../roving.ts';
import { actorTitle, formsOf, matches } from './forms.ts';
import { OperationForm } from './OperationForm.tsx';

const groups = ['guest', 'device', 'vmm', 'any'] as const;

/** All operations by actor; each opens its form in place. */
export function OperationsPanel() {
  const vendor = useApp((s) => s.document?.platform.iommu ?? '');
  const at = useApp((s) => s.place.step);
  const [filter, setFilter] = useState('');
  const [open, setOpen] = useState<string | null>(null);
  const forms = formsOf(vendor).filter((f) => filter.trim() === '' || matches(f, filter.trim()));
  return (
    <div className="p-3">
      <input
        type="search"
        aria-label="Find an operation"
        placeholder="Find an operation"
        className="field"
        value={filter}
        onChange={(e) => setFilter(e.target.value)}
      />
      <p className="mt-2 text-xs text-ink-2">
        It becomes a step after {at === 0 ? 'the setup' : `step ${at}`} and is played at once.
      </p>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: arrow keys move among the buttons inside */}
      <div onKeyDown={rove}>
        {groups.map((group) => {
          const list = forms.filter((f) => f.actor === group);
          if (list.length === 0) return null;
          return (
            <section key={group} aria-label={actorTitle[group]} className="mt-3">
              <h3 className="mb-1 text-2xs font-semibold tracking-wide text-ink-3 uppercase">{actorTitle[group]}</h3>
              <ul className="space-y-0.5">
                {list.map((f) => {
                  const on = open === f.name;
                  return (
                    <li key={f.name} className={on ? 'rounded-lg border border-line bg-sunken/40' : ''}>
                      <button
                        type="button"
                        data-rove
                        aria-expanded={on}
                        onClick={() => setOpen(on ? null : f.name)}
                        className="flex w-full items-start gap-2 rounded-md px-2 py-1.5 text-left hover:bg-sunken"
                      >
                        <span
                          aria-hidden="true"
                          className={`mt-1.5 size-2 shrink-0 rounded-full ${bandStyle[bandOfOperation({ do: f.name })].dot}`}
                        />
                        <span className="min-w-0 flex-1">
                          <span className="block font-medium">{f.title}</span>
                          {on && <span className="block text-xs text-ink-2">{f.about}</span>}
                        </span>
                        <Icon name={on ? 'chevronUp' : 'chevronDown'} className="mt-0.5 size-3.5 text-ink-3" />
                      </button>
                      {on && (
                        <div className="px-3 pt-1 pb-3">
                          <OperationForm form={f} />
                        </div>
                      )}
                    </li>
                  );
                })}
              </ul>
            </section>
          );
        })}
      </div>
      {forms.length === 0 && <p className="mt-3 text-xs text-ink-2">No operation has these words.</p>}
    </div>
  );
}
