import type { Vendor } from '../machine/vendor.ts';
import { vendors } from '../machine/vendors.ts';
import { checkStep, namesOf, type StepContext } from './check-step.ts';
import type { Path } from './json.ts';
import { ridText, toBigint } from './number.ts';
import { deviceSpecs, platformSpec } from './platform.ts';
import { policyProblem } from './policy.ts';
import { type Problem, unknownName } from './problem.ts';
import type { ScenarioDocument } from './schema.ts';

/**
 * Checks what the schema cannot say of a document that follows it: names that must exist or be unique, what the vendor
 * has, alternatives that are not modelled.
 * @returns the first problem in the document's order
 */
export function checkDocument(doc: ScenarioDocument, vendor: Vendor | null): Problem | undefined {
  return checkPlatform(doc, vendor) ?? checkDevices(doc) ?? checkSteps(doc, vendor);
}

function twice(values: readonly (string | number)[], path: (i: number) => Path, what: string): Problem | undefined {
  const seen = new Set<string | number>();
  for (const [i, v] of values.entries()) {
    if (seen.has(v)) return { path: path(i), expected: `${what} that no other one has` };
    seen.add(v);
  }
  return undefined;
}

function checkPlatform(doc: ScenarioDocument, vendor: Vendor | null): Problem | undefined {
  const p = doc.platform;
  for (const [name, v] of Object.entries(p.policy ?? {})) {
    const expected = v === undefined ? undefined : policyProblem(name, v);
    if (expected) return { path: ['platform', 'policy', name], expected };
  }
  if (vendor) {
    for (const [name, v] of Object.entries(p.features ?? {})) {
      const path = ['platform', 'features', name];
      if (!Object.hasOwn(vendor.features, name))
        return unknownName(
          path,
          `a feature of ${vendor.name}`,
          name,
          Object.keys(vendor.features),
          'an unknown feature',
        );
      const kind = typeof vendor.features[name]!.default;
      // A size may stand as text.
      const fits = typeof v === kind || (kind === 'number' && typeof v === 'string' && toBigint(v) !== undefined);
      if (!fits)
        return { path, expected: kind === 'boolean' ? 'true or false' : kind === 'number' ? 'a number' : 'a text' };
    }
    const names = vendor.deviations.map((d) => d.name);
    for (const [i, d] of (p.deviations ?? []).entries())
      if (!names.includes(d))
        return unknownName(['platform', 'deviations', i], `a deviation of ${vendor.name}`, d, names);
  }
  const spec = platformSpec(doc);
  for (const path of p.guests
    ? p.guests.map((_, i) => ['platform', 'guests', i, 'memory'])
    : [['platform', 'guest', 'memory']])
    if (spec.guest.memory * 2 > spec.memory)
      return { path, expected: `at most half of host memory (0x${spec.memory.toString(16)} bytes)` };
  return (
    twice(p.deviations ?? [], (i) => ['platform', 'deviations', i], 'a deviation') ??
    twice(p.iommus ?? [], (i) => ['platform', 'iommus', i], 'a name') ??
    twice(
      (p.guests ?? []).map((g) => g.name),
      (i) => ['platform', 'guests', i, 'name'],
      'a name',
    ) ??
    (p.guest && p.guests
      ? { path: ['platform', 'guests'], expected: '"guest" or "guests", not both', found: 'both' }
      : undefined)
  );
}

function checkDevices(doc: ScenarioDocument): Problem | undefined {
  const devices = doc.devices ?? [];
  const specs = deviceSpecs(doc);
  const units = doc.platform.iommus ?? [];
  const guests = (doc.platform.guests ?? []).map((g) => g.name);
  const unique =
    twice(
      specs.map((d) => d.name),
      (i) => ['devices', i, 'name'],
      'a name',
    ) ??
    twice(
      devices.map((d, i) => `${d.iommu ?? ''} ${ridText(specs[i]!.rid)}`),
      (i) => ['devices', i, 'rid'],
      'a requester id',
    ) ??
    twice(
      devices.map((d, i) => `${d.guest ?? ''} ${ridText(specs[i]!.vrid)}`),
      (i) => ['devices', i, 'vrid'],
      'a requester id in the guest',
    );
  if (unique) return unique;
  for (const [i, d] of devices.entries()) {
    if (d.iommu !== undefined && !units.includes(d.iommu))
      return unknownName(['devices', i, 'iommu'], 'a name in platform.iommus', d.iommu, units);
    if (d.guest !== undefined && !guests.includes(d.guest))
      return unknownName(['devices', i, 'guest'], 'a name in platform.guests', d.guest, guests);
  }
  return undefined;
}

function checkSteps(doc: ScenarioDocument, vendor: Vendor | null): Problem | undefined {
  const bound = new Set<string>();
  const context = stepContext(doc, vendor, bound);
  for (const [i, step] of doc.steps.entries()) {
    const p = checkStep(step, ['steps', i], context);
    if (p) return p;
    for (const n of namesOf(step)) bound.add(n);
  }
  return undefined;
}

/** What a step of this document may name. */
export function stepContext(doc: ScenarioDocument, vendor: Vendor | null, bound: ReadonlySet<string>): StepContext {
  return {
    devices: (doc.devices ?? []).map((d) => d.name),
    guests: (doc.platform.guests ?? []).map((g) => g.name),
    bound,
    vendor,
  };
}

/**
 * Why a correct document cannot be run by this program.
 * @returns undefined when it can
 */
export function notModelled(doc: ScenarioDocument, vendor: Vendor | null): Problem | undefined {
  const p = doc.platform;
  if (!vendor)
    return {
      path: ['platform', 'iommu'],
      expected: `an IOMMU that is modelled (${vendors.map((v) => v.name).join(', ') || 'none is so far'})`,
      found: `"${p.iommu}", which is not modelled yet`,
    };
  if ((p.iommus?.length ?? 0) > 1)
    return { path: ['platform', 'iommus'], expected: 'one IOMMU', found: 'several, which are not modelled yet' };
  if ((p.guests?.length ?? 0) > 1)
    return { path: ['platform', 'guests'], expected: 'one guest', found: 'several, which are not modelled yet' };
  return undefined;
}
