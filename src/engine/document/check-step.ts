import type { Layout } from '../bits/index.ts';
import { fieldOf, setField } from '../bits/index.ts';
import type { Vendor } from '../machine/vendor.ts';
import type { Addressees } from './addressee.ts';
import { checkReferences, checkTree } from './check-tree.ts';
import type { Path } from './json.ts';
import { readReference, toBigint } from './number.ts';
import { operationNames, operationOf, type Step } from './operations.ts';
import { type Problem, unknownName } from './problem.ts';

/** What a step is checked against. */
export interface StepContext {
  readonly devices: readonly string[];
  /** Knows the guests and units, and the domains of earlier steps. */
  readonly addressees: Addressees;
  /** Names that earlier steps bind. */
  readonly bound: ReadonlySet<string>;
  /** Null when the vendor is not modelled: then nothing of the vendor's is checked. */
  readonly vendor: Vendor | null;
}

type Values = Readonly<Record<string, unknown>>;

/** Names that a step binds. */
export function namesOf(step: Step): string[] {
  if (step.as === undefined) return [];
  return typeof step.as === 'string' ? [step.as] : Object.values(step.as);
}

/** Checks what the schema cannot say of a step that follows it. */
export function checkStep(step: Step, path: Path, c: StepContext): Problem | undefined {
  const d = operationOf(step.do)!;
  const values = step as unknown as Values;
  const { as: _as, say: _say, show: _show, expect, ...fields } = values;
  if (c.vendor?.operations && !c.vendor.operations.includes(step.do)) {
    const modelled = operationNames.filter((n) => c.vendor!.operations!.includes(n));
    return { path: [...path, 'do'], expected: `an operation that ${c.vendor.name} has: ${modelled.join(', ')}` };
  }
  const mismatch = d.rule?.(values);
  if (mismatch) return { path: mismatch.field ? [...path, mismatch.field] : path, expected: mismatch.expected };
  for (const [name, f] of Object.entries(d.fields)) {
    const v = values[name];
    if (v === undefined || v === null) continue;
    const at = [...path, name];
    if (f.form.kind === 'device' && !c.devices.includes(String(v)))
      return unknownName(at, 'the name of a device', v, c.devices);
    const p = f.take === 'tree' ? checkTree(v, at) : undefined;
    if (p) return p;
  }
  const whom = c.addressees.of(step);
  if ('expected' in whom) {
    const at = [...path, whom.field];
    return whom.known
      ? unknownName(at, whom.expected, values[whom.field], whom.known)
      : { path: at, expected: whom.expected, found: whom.found };
  }
  const names = checkReferences(fields, path, c.bound);
  if (names) return names;
  // What the step itself binds can already be compared.
  const after = new Set([...c.bound, ...namesOf(step)]);
  const outputs = values['expect'] as Values | undefined;
  return (
    checkReferences(expect ?? null, [...path, 'expect'], after) ??
    (outputs?.['out'] === undefined ? undefined : checkTree(outputs['out'], [...path, 'expect', 'out'])) ??
    checkExpect(outputs, [...path, 'expect'], c.addressees) ??
    (c.vendor ? checkVendor(values, path, c.vendor) : undefined)
  );
}

function checkExpect(expect: Values | undefined, path: Path, a: Addressees): Problem | undefined {
  if (!expect) return undefined;
  const units = [...new Set([...a.iommus, ...a.virtualUnits.map((u) => u.name)])];
  if (expect['guest'] !== undefined && !a.guests.includes(String(expect['guest'])))
    return unknownName([...path, 'guest'], 'the name of a guest', expect['guest'], a.guests);
  if (expect['unit'] !== undefined && !units.includes(String(expect['unit'])))
    return unknownName([...path, 'unit'], 'the name of a unit', expect['unit'], units);
  if (expect['mask'] !== undefined && expect['value'] === undefined)
    return { path, expected: 'a "value" beside "mask"' };
  for (const [name, w] of Object.entries((expect['where'] ?? {}) as Values))
    if ((w as Values)['mask'] !== undefined && (w as Values)['equals'] === undefined)
      return { path: [...path, 'where', name], expected: '"equals" beside "mask"' };
  return undefined;
}

/** Names and fields that only the vendor knows. */
function checkVendor(step: Values, path: Path, vendor: Vendor): Problem | undefined {
  for (const [field, why] of Object.entries(vendor.lacks?.operations?.[String(step['do'])] ?? {}))
    if (step[field] !== undefined) return { path: [...path, field], expected: `no "${field}": ${why}` };
  if (step['do'] === 'guest.invalidate' && step['command'])
    return checkCommand(step['command'] as Values, [...path, 'command'], vendor);
  if (step['do'] === 'guest.invalidate' && step['bytes'] !== undefined) {
    const sizes = vendor.commandSizes ?? [...new Set(vendor.commands.map((l) => l.words * 8))].sort((a, b) => a - b);
    if (sizes.length && !sizes.includes(String(step['bytes']).length / 2))
      return { path: [...path, 'bytes'], expected: `a command of ${sizes.join(' or ')} bytes` };
  }
  if (vendor.registers && (step['do'] === 'register.read' || step['do'] === 'register.write')) {
    if (!vendor.registers.includes(String(step['reg'])))
      return unknownName([...path, 'reg'], 'a register', step['reg'], vendor.registers);
  }
  const expect = step['expect'] as Values | undefined;
  if (!vendor.caches || !expect) return undefined;
  for (const key of ['cached', 'notCached'])
    for (const [i, e] of ((expect[key] ?? []) as Values[]).entries()) {
      const p = checkEntry(e, [...path, 'expect', key, i], vendor.caches);
      if (p) return p;
    }
  return undefined;
}

function checkEntry(e: Values, path: Path, caches: NonNullable<Vendor['caches']>): Problem | undefined {
  const cache = e['cache'];
  if (cache !== undefined && !Object.hasOwn(caches, String(cache)))
    return unknownName([...path, 'cache'], 'the name of a cache', cache, Object.keys(caches));
  const known = cache === undefined ? [...new Set(Object.values(caches).flat())] : caches[String(cache)]!;
  for (const name of Object.keys(e))
    if (name !== 'cache' && !known.includes(name))
      return unknownName([...path, name], 'a field of the cache', name, known, 'an unknown field');
  return undefined;
}

const bare = (name: string): string => name.replace(/^CMD_/, '');

/** @returns the vendor's command of that name, with or without the architecture's prefix */
export function commandOf(name: string, vendor: Vendor): Layout | undefined {
  return vendor.commands.find((l) => bare(l.name) === bare(name));
}

function checkCommand(command: Values, path: Path, vendor: Vendor): Problem | undefined {
  const name = String(command['name']);
  const layout = commandOf(name, vendor);
  if (!layout) {
    const known = vendor.commands.map((l) => bare(l.name));
    return unknownName([...path, 'name'], 'the name of a command', name, known);
  }
  for (const [key, v] of Object.entries(command)) {
    if (key === 'name') continue;
    const fields = layout.fields.map((f) => f.name);
    if (!fields.includes(key))
      return unknownName([...path, key], `a field of ${bare(layout.name)}`, key, fields, 'an unknown field');
    const n = toBigint(v);
    if (n === undefined || readReference(v)) continue;
    const p = fieldProblem(layout, key, n);
    if (p) return { path: [...path, key], expected: p };
  }
  return undefined;
}

/** @returns what a field of a record can hold when it cannot hold this value */
export function fieldProblem(layout: Layout, name: string, value: bigint): string | undefined {
  const f = fieldOf(layout, name);
  try {
    setField(f, new Array<bigint>(layout.words).fill(0n), value);
    return undefined;
  } catch {
    return f.format === 'addr'
      ? `an address with no bits outside ${f.hi}:${f.lo}`
      : `a number of ${f.hi - f.lo + 1} bits`;
  }
}
