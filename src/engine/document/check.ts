import { guestOf, iommuOf, viommuOf } from '../machine/units.ts';
import type { Vendor } from '../machine/vendor.ts';
import { modelled } from '../machine/vendors.ts';
import { Addressees } from './addressee.ts';
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
  return checkPlatform(doc, vendor) ?? checkDevices(doc, vendor) ?? checkSteps(doc, vendor);
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
    const expected = v === undefined ? undefined : policyProblem(name, v, vendor?.policies);
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
    const wrong = vendor.featureProblem?.({ ...p.features });
    if (wrong) return { path: ['platform', 'features', wrong.name], expected: wrong.expected };
    const names = vendor.deviations.map((d) => d.name);
    for (const [i, d] of (p.deviations ?? []).entries())
      if (!names.includes(d))
        return unknownName(['platform', 'deviations', i], `a deviation of ${vendor.name}`, d, names);
  }
  return (
    checkMemory(doc) ??
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

/** The guests' memory takes at most half of the host's: the rest is for the kernel's tables and for memory added later. */
function checkMemory(doc: ScenarioDocument): Problem | undefined {
  const p = doc.platform;
  const spec = platformSpec(doc);
  const half = `at most half of host memory (0x${spec.memory.toString(16)} bytes)`;
  let sum = 0;
  for (const [i, g] of spec.guests.entries()) {
    sum += g.memory;
    if (sum * 2 <= spec.memory) continue;
    if (!p.guests?.length) return { path: ['platform', 'guest', 'memory'], expected: half };
    const path = ['platform', 'guests', i, 'memory'];
    return i === 0
      ? { path, expected: half }
      : {
          path,
          expected: `all guests' memory together to be ${half}`,
          found: `0x${sum.toString(16)} bytes up to here`,
        };
  }
  return undefined;
}

function checkDevices(doc: ScenarioDocument, vendor: Vendor | null): Problem | undefined {
  const devices = doc.devices ?? [];
  const spec = platformSpec(doc);
  const specs = deviceSpecs(doc);
  const guests = spec.guests.map((g) => g.name);
  for (const [i, d] of devices.entries()) {
    if (d.iommu !== undefined && !spec.iommus.includes(d.iommu))
      return unknownName(['devices', i, 'iommu'], 'a name in platform.iommus', d.iommu, spec.iommus);
    if (d.guest !== undefined && !guests.includes(d.guest))
      return unknownName(['devices', i, 'guest'], 'a name in platform.guests', d.guest, guests);
    for (const [field, why] of Object.entries(vendor?.lacks?.devices ?? {})) {
      const v = (d as Readonly<Record<string, unknown>>)[field];
      if (v !== undefined && v !== false) return { path: ['devices', i, field], expected: `no "${field}": ${why}` };
    }
    if (d.stall && d.ats)
      return {
        path: ['devices', i, 'ats'],
        expected: 'false, or no "stall": a device whose accesses wait for software does not ask for translations',
      };
  }
  return (
    twice(
      specs.map((d) => d.name),
      (i) => ['devices', i, 'name'],
      'a name',
    ) ??
    twice(
      specs.map((d) => `${iommuOf(spec, d)} ${ridText(d.rid)}`),
      (i) => ['devices', i, 'rid'],
      'a requester id',
    ) ??
    checkVirtualUnits(doc) ??
    twice(
      specs.map((d) => `${guestOf(spec, d)} ${viommuOf(spec, d)} ${ridText(d.vrid)}`),
      (i) => ['devices', i, 'vrid'],
      'a requester id in the guest',
    )
  );
}

/** A virtual unit is one guest's and stands for one physical unit. */
function checkVirtualUnits(doc: ScenarioDocument): Problem | undefined {
  const spec = platformSpec(doc);
  const seen = new Map<string, { guest: string; device: string; iommu: string; named: boolean }>();
  for (const [i, d] of deviceSpecs(doc).entries()) {
    const [name, guest, iommu] = [viommuOf(spec, d), guestOf(spec, d), iommuOf(spec, d)];
    const named = d.viommu !== undefined;
    const key = `${guest} ${name}`;
    const other = [...seen].find(([k, o]) => k.endsWith(` ${name}`) && o.guest !== guest && (o.named || named));
    if (other)
      return {
        path: ['devices', i, named ? 'viommu' : 'guest'],
        expected: `a virtual unit of ${guest}: ${name} belongs to ${other[1].guest}, where ${other[1].device} is behind it`,
        found: JSON.stringify(named ? name : guest),
      };
    const same = seen.get(key);
    if (same && same.iommu !== iommu)
      return {
        path: ['devices', i, named ? 'viommu' : 'iommu'],
        expected: `a virtual unit for ${iommu}: ${name} stands for ${same.iommu}, where ${same.device} is behind it`,
        found: JSON.stringify(named ? name : iommu),
      };
    if (!same) seen.set(key, { guest, device: d.name, iommu, named });
    else if (named) same.named = true;
  }
  return undefined;
}

function checkSteps(doc: ScenarioDocument, vendor: Vendor | null): Problem | undefined {
  const bound = new Set<string>();
  const context = stepContext(doc, vendor, bound);
  for (const [i, step] of doc.steps.entries()) {
    const p = checkStep(step, ['steps', i], context);
    if (p) return p;
    context.addressees.note(step);
    for (const n of namesOf(step)) bound.add(n);
  }
  return undefined;
}

/** What a step of this document may name; no step of it is noted yet. */
export function stepContext(doc: ScenarioDocument, vendor: Vendor | null, bound: ReadonlySet<string>): StepContext {
  return {
    devices: (doc.devices ?? []).map((d) => d.name),
    addressees: new Addressees(platformSpec(doc), deviceSpecs(doc)),
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
      expected: `an IOMMU that is modelled (${modelled.map((v) => v.name).join(', ') || 'none is so far'})`,
      found: `"${p.iommu}", which is not modelled yet`,
    };
  return undefined;
}
