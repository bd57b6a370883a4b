import { useEffect } from 'react';
import { deviceSpecs, platformSpec, ridText } from '../../engine/document/index.ts';
import { type Policy, policies } from '../../engine/document/policy.ts';
import type { Vendor } from '../../engine/machine/index.ts';
import { findVendor } from '../../engine/machine/vendors.ts';
import { useApp, useAppStore } from '../context.ts';
import { isBuilt, withPolicy } from './change.ts';
import { FeatureField } from './FeatureField.tsx';
import { RulesSection } from './RulesSection.tsx';

/** What the document says about the machine: its rules, design alternatives and features, each to be switched. */
export function MachinePanel() {
  const app = useAppStore();
  const open = useApp((s) => s.document !== null);
  // A change is checked like any document; the checks are there by the time somebody makes one.
  useEffect(() => app.withChecks('Changing the machine', () => {}), [app]);
  if (!open) return <p className="p-4 text-ink-2">No document is open. Choose a scenario, or open a file.</p>;
  return (
    <div className="space-y-5 p-3">
      <Parts />
      <RulesSection />
      <Policies />
      <Features />
    </div>
  );
}

const GiB = 2 ** 30;
const sizeOf = (n: number): string => (n % GiB === 0 ? `${n / GiB} GiB` : `${n / 2 ** 20} MiB`);

/** Units, guests and devices, to read. */
function Parts() {
  const doc = useApp((s) => s.document);
  if (!doc) return null;
  const spec = platformSpec(doc);
  const several = spec.iommus.length > 1 || spec.guests.length > 1;
  return (
    <section aria-label="Parts">
      <h2 className="text-sm font-semibold">Machine</h2>
      <p className="mt-0.5 text-xs text-ink-2">
        {spec.iommus.length === 1 ? 'One physical unit' : `Units ${spec.iommus.join(', ')}`}, {sizeOf(spec.memory)} of
        memory; {spec.guests.map((g) => `${several ? `${g.name}: ` : 'guest memory '}${sizeOf(g.memory)}`).join(', ')}.
      </p>
      <ul className="mt-1.5 space-y-1 text-xs">
        {deviceSpecs(doc).map((d) => (
          <li key={d.name} className="flex flex-wrap items-baseline gap-x-2">
            <span className="font-semibold">{d.name}</span>
            <span className="font-mono text-ink-2">
              {ridText(d.vrid).slice(5)} → {ridText(d.rid)}
            </span>
            <span className="text-ink-3">
              {[
                d.ats && 'ATS',
                d.pri && 'PRI',
                d.stall && 'stalls',
                d.pasidBits > 0 && `${d.pasidBits} PASID bits`,
                spec.guests.length > 1 && d.guest,
                spec.iommus.length > 1 && d.iommu,
                d.viommu,
              ]
                .filter(Boolean)
                .join(' · ')}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** Design alternatives that can be switched; those with a single value now are left out. */
function Policies() {
  const app = useAppStore();
  const platform = useApp((s) => s.document?.platform);
  if (!platform) return null;
  const vendor = findVendor(platform.iommu);
  const shown = (Object.entries(policies) as [keyof typeof policies, Policy][]).filter(
    ([name, p]) => p.values === 'count' || p.values.filter((v) => isBuilt(name, v, vendor)).length > 1,
  );
  const change = (name: string, value: string | undefined): void =>
    app.changeMachine({ platform: withPolicy(platform, name, value) }, `Set ${name} to ${value ?? 'its default'}`);
  return (
    <section aria-label="Design alternatives">
      <h2 className="text-sm font-semibold">Design alternatives</h2>
      <ul className="mt-1.5 space-y-2.5">
        {shown.map(([name, p]) => {
          const value = platform.policy?.[name];
          const id = `policy-${name}`;
          return (
            <li key={name}>
              <label htmlFor={id} className="mb-0.5 block font-mono text-xs font-semibold">
                {name}
              </label>
              <select
                id={id}
                aria-describedby={`${id}-about`}
                className="field"
                value={value === undefined ? '' : String(value)}
                onChange={(e) => change(name, e.target.value === '' ? undefined : e.target.value)}
              >
                {optionsOf(name, p, value, vendor).map(([v, title]) => (
                  <option key={v} value={v}>
                    {title}
                  </option>
                ))}
              </select>
              <p id={`${id}-about`} className="mt-0.5 text-xs text-ink-2">
                {p.about}
              </p>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

/** Value and title of each choice; a count offers a few, and the one that the document has. */
function optionsOf(
  name: string,
  p: Policy,
  now: string | number | undefined,
  vendor: Vendor | null,
): [string, string][] {
  const standard = vendor?.policies?.[name] ?? p.default;
  if (p.values === 'count') {
    const counts = new Set([2, 4, 16, 64, ...(now === undefined ? [] : [Number(now)])]);
    return [
      ['', '1 (as QEMU does)'],
      ...[...counts].sort((a, b) => a - b).map((n): [string, string] => [`${n}`, `${n}`]),
    ];
  }
  return [
    ['', `${standard} (default)`],
    ...p.values.filter((v) => v !== standard && isBuilt(name, v, vendor)).map((v): [string, string] => [v, v]),
  ];
}

function Features() {
  const platform = useApp((s) => s.document?.platform);
  const vendor = platform && findVendor(platform.iommu);
  if (!platform || !vendor) return null;
  return (
    <section aria-label="Features">
      <h2 className="text-sm font-semibold">Features</h2>
      <ul className="mt-1.5 space-y-2">
        {Object.entries(vendor.features).map(([name, f]) => (
          <FeatureField key={name} name={name} about={f.about} standard={f.default} value={platform.features?.[name]} />
        ))}
      </ul>
    </section>
  );
}
