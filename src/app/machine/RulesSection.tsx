import { useState } from 'react';
import { findVendor } from '../../engine/machine/vendors.ts';
import { useApp, useAppStore } from '../context.ts';
import { withRule } from './change.ts';

const owners = [
  { prefix: 'guest.', title: 'Guest driver', dot: 'bg-guest' },
  { prefix: 'vmm.', title: 'VMM', dot: 'bg-vmm' },
  { prefix: 'host.', title: 'Host driver', dot: 'bg-kernel' },
] as const;

/** Every rule that can be broken on purpose, by the actor that ought to keep it. */
export function RulesSection() {
  const app = useAppStore();
  const platform = useApp((s) => s.document?.platform);
  const [filter, setFilter] = useState('');
  const vendor = platform && findVendor(platform.iommu);
  if (!platform || !vendor || vendor.deviations.length === 0) return null;
  const broken = new Set(platform.deviations ?? []);
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found = vendor.deviations.filter((d) => words.every((w) => `${d.name} ${d.about}`.toLowerCase().includes(w)));
  return (
    <section aria-label="Rules">
      <div className="flex items-baseline justify-between gap-2">
        <h2 className="text-sm font-semibold">Rules</h2>
        {broken.size > 0 && (
          <button
            type="button"
            className="rounded-sm text-xs text-accent-ink underline"
            onClick={() => {
              const { deviations: _, ...rest } = platform;
              app.changeMachine({ platform: rest }, 'Mend all rules');
            }}
          >
            Mend {broken.size === 1 ? 'the one' : `all ${broken.size}`} that {broken.size === 1 ? 'is' : 'are'} broken
          </button>
        )}
      </div>
      <p className="mt-0.5 text-xs text-ink-2">
        Break one, and the same steps run again without it. Each is a bug that somebody could write, or did.
      </p>
      <input
        type="search"
        aria-label="Find a rule"
        placeholder="Find a rule"
        className="field mt-2"
        value={filter}
        onChange={(e) => setFilter(e.target.value)}
      />
      {owners.map((o) => {
        const list = found.filter((d) => d.name.startsWith(o.prefix));
        if (list.length === 0) return null;
        return (
          <section key={o.prefix} aria-label={o.title} className="mt-3">
            <h3 className="mb-1 flex items-center gap-1.5 text-2xs font-semibold tracking-wide text-ink-3 uppercase">
              <span aria-hidden="true" className={`size-2 rounded-full ${o.dot}`} />
              {o.title}
            </h3>
            <ul className="space-y-1">
              {list.map((d) => (
                <Rule key={d.name} name={d.name} about={d.about} broken={broken.has(d.name)} />
              ))}
            </ul>
          </section>
        );
      })}
      {found.length === 0 && <p className="mt-3 text-xs text-ink-2">No rule has these words.</p>}
    </section>
  );
}

function Rule({ name, about, broken }: { name: string; about: string; broken: boolean }) {
  const app = useAppStore();
  const change = (on: boolean): void => {
    const platform = app.store.getState().document?.platform;
    const vendor = platform && findVendor(platform.iommu);
    if (platform && vendor)
      app.changeMachine({ platform: withRule(platform, vendor, name, on) }, `${on ? 'Break' : 'Mend'} ${name}`);
  };
  return (
    <li className={`rounded-lg border px-2 py-1.5 ${broken ? 'border-stale bg-stale-soft' : 'border-transparent'}`}>
      <label className="flex items-start gap-2">
        <input
          type="checkbox"
          className="mt-0.5 shrink-0"
          checked={broken}
          onChange={(e) => change(e.target.checked)}
          aria-describedby={`rule-${name}`}
        />
        <span className="min-w-0 flex-1 font-mono text-xs font-semibold break-words">
          {name}
          {broken && <span className="ml-1.5 font-sans text-2xs font-semibold text-stale-ink">broken</span>}
        </span>
      </label>
      <p id={`rule-${name}`} className="mt-0.5 pl-5.5 text-xs text-ink-2">
        {about}
      </p>
    </li>
  );
}
