import type { Field, Layout } from '../../engine/bits/index.ts';
import {
  deviceSpecs,
  type FieldForm,
  type OperationForm,
  platformSpec,
  type Step,
  toBigint,
} from '../../engine/document/index.ts';
import { virtualUnits } from '../../engine/machine/units.ts';
import { findVendor } from '../../engine/machine/vendors.ts';
import type { Doc } from '../../store/index.ts';

export type NamedField = OperationForm['fields'][number];
/** What stands in the fields, as text; true or false for check boxes. Empty: left out. */
export type FormValues = Readonly<Record<string, string | boolean>>;

type Values = Readonly<Record<string, unknown>>;
const valuesOf = (s: Step): Values => s as unknown as Values;

const asText = (v: unknown): string | boolean =>
  typeof v === 'boolean' ? v : typeof v === 'string' ? v : typeof v === 'number' ? String(v) : JSON.stringify(v);

/** Names that a field for a device, a guest or a unit offers beside the other values; null for all other fields. */
export function namesFor(f: NamedField, doc: Doc, values: FormValues): readonly string[] | null {
  const spec = platformSpec(doc);
  if (f.kind === 'device') return deviceSpecs(doc).map((d) => d.name);
  if (f.kind === 'guest') return spec.guests.map((g) => g.name);
  if (f.kind !== 'unit') return null;
  // A form that does not ask which kind of IOMMU is the guest's, which sees virtual ones only.
  if (values['iommu'] !== undefined && values['iommu'] !== 'virtual') return spec.iommus;
  const { guest } = values;
  const virtual = virtualUnits(spec, deviceSpecs(doc)).filter((u) => !guest || u.guest === guest);
  return [...new Set(virtual.map((u) => u.name))];
}

/**
 * The fields of a form that mean something on this machine: with one guest or unit nobody asks which, and a vendor may lack
 * what another has.
 */
export function shownFields(form: OperationForm, doc: Doc): readonly NamedField[] {
  const spec = platformSpec(doc);
  const units = virtualUnits(spec, deviceSpecs(doc));
  const several = spec.iommus.length > 1 || spec.guests.some((g) => units.filter((u) => u.guest === g.name).length > 1);
  const lacks = findVendor(spec.iommu)?.lacks?.operations?.[form.name] ?? {};
  return form.fields.filter((f) =>
    f.kind === 'guest' ? spec.guests.length > 1 : f.kind === 'unit' ? several : !Object.hasOwn(lacks, f.name),
  );
}

/** True for fields that take a list of numbers: they are written with commas instead of JSON. */
export const isNumberList = (f: FieldForm): boolean => f.kind === 'json' && f.max !== undefined;

/**
 * What a form begins with: what was given, else for a field that must be filled what the steps before used last, else what
 * fits the machine. Fields with a default stay empty and show it.
 */
export function initialValues(form: OperationForm, doc: Doc, at: number, given: Values = {}): FormValues {
  const before = doc.steps.slice(0, at).reverse().map(valuesOf);
  const lastOf = (name: string): unknown =>
    (before.find((s) => s['do'] === form.name && s[name] !== undefined) ?? before.find((s) => s[name] !== undefined))?.[
      name
    ];
  const out: Record<string, string | boolean> = {};
  for (const f of form.fields) {
    if (given[f.name] !== undefined) out[f.name] = asText(given[f.name]);
    else if (f.kind === 'boolean') out[f.name] = f.default === true;
    else if (f.required) out[f.name] = asText(fitting(f, doc, lastOf(f.name)));
    else if (f.kind === 'guest' && nothingTellsGuest(form, doc)) out[f.name] = guestBefore(doc, lastOf(f.name));
    else out[f.name] = '';
  }
  return out;
}

/** Whether a form's guest must be named: there are several, and no device, domain or other field makes it plain. */
const nothingTellsGuest = (form: OperationForm, doc: Doc): boolean =>
  platformSpec(doc).guests.length > 1 &&
  !form.fields.some((f) => ['device', 'domain', 'process', 'space', 'iommu'].includes(f.name));

function guestBefore(doc: Doc, last: unknown): string {
  const names = platformSpec(doc).guests.map((g) => g.name);
  return names.find((n) => n === last) ?? names[0]!;
}

function fitting(f: NamedField, doc: Doc, last: unknown): unknown {
  const usable =
    f.kind === 'enum' ? f.values?.includes(String(last)) : last !== undefined && readField(f, asText(last)).ok;
  if (usable && typeof last !== 'object') return last;
  if (f.kind === 'device') return deviceSpecs(doc)[0]?.name ?? '';
  if (f.kind === 'enum') return f.values?.[0] ?? '';
  if (f.name === 'iova') return '0x10000';
  if (f.name === 'gpa' || f.name === 'at') return `0x${(platformSpec(doc).guest.base + 0x20_0000).toString(16)}`;
  if (f.name === 'domain') return 'dma0';
  if (f.name === 'process') return 'app';
  if (f.name === 'reg') return 'CR0';
  if (f.name === 'call') return f.values?.[0] ?? '';
  if (f.name === 'fd') return '0';
  if (f.name === 'count') return '4096';
  return '';
}

export type Read = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly text: string };

/** The value of a field as a document has it, or what is wrong with the text; undefined for a field that is left out. */
export function readField(f: FieldForm, v: string | boolean | undefined): Read {
  if (typeof v === 'boolean') return { ok: true, value: f.default === v ? undefined : v };
  const text = (v ?? '').trim();
  if (text === '') return f.required ? { ok: false, text: 'needed' } : { ok: true, value: undefined };
  if (f.kind === 'number' || f.kind === 'size') return readAmount(f, text);
  if (f.kind === 'hex') {
    const digits = text.replace(/[\s_]/g, '').replace(/^0x/i, '');
    return /^(?:[0-9a-fA-F]{2})*$/.test(digits)
      ? { ok: true, value: digits }
      : { ok: false, text: 'pairs of hexadecimal digits are needed' };
  }
  if (isNumberList(f)) return { ok: true, value: text.split(/[\s,]+/).filter(Boolean) };
  if (f.kind === 'json') {
    try {
      return { ok: true, value: JSON.parse(text) };
    } catch (e) {
      return { ok: false, text: `not JSON: ${e instanceof Error ? e.message : String(e)}` };
    }
  }
  return { ok: true, value: text };
}

function readAmount(f: FieldForm, text: string): Read {
  if (text.startsWith('$')) return { ok: true, value: text };
  const n = toBigint(text);
  if (n === undefined) return { ok: false, text: 'a number is needed: 4096, 0x1000 or 4KiB' };
  if (f.min !== undefined && n < f.min) return { ok: false, text: `at least ${short(f.min)}` };
  if (f.max !== undefined && n > f.max) return { ok: false, text: `at most ${short(f.max)}` };
  return { ok: true, value: /^[0-9]+$/.test(text) && n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : text };
}

const short = (n: bigint): string => (n < 4096n ? String(n) : `0x${n.toString(16)}`);

/** The step that a form describes, with what is wrong with its fields one by one. */
export function stepOfForm(
  form: OperationForm,
  values: FormValues,
  command: Values | null,
): { readonly step: Values; readonly errors: ReadonlyMap<string, string> } {
  const step: Record<string, unknown> = { do: form.name };
  const errors = new Map<string, string>();
  for (const f of form.fields) {
    if (f.name === 'command' && command) step['command'] = command;
    else {
      const r = readField(f, values[f.name]);
      if (!r.ok) errors.set(f.name, r.text);
      else if (r.value !== undefined) step[f.name] = r.value;
    }
  }
  return { step, errors };
}

/** Name of a command without the architecture's prefix, as a document has it. */
export const commandName = (l: Layout): string => l.name.replace(/^CMD_/, '');

/** Does the command's name say what this field is? */
export const isNamed = (f: Field): boolean => f.name === 'Opcode' || f.name === 'Type';

/** What a new command's fields begin with: nothing, but the first legal choice where 0 is none. */
export const firstFields = (l: Layout | null): Record<string, string> =>
  Object.fromEntries(
    (l?.fields ?? []).flatMap((f) => {
      const choices = Object.entries(f.values ?? {});
      const legal = f.values?.[0] === 'illegal' && choices.find(([, text]) => text !== 'illegal');
      return legal ? [[f.name, legal[0]]] : [];
    }),
  );

/** A command in the document's form: fields that are zero are left out. */
export function commandOf(
  layout: Layout,
  values: Readonly<Record<string, string>>,
): { readonly command: Values; readonly errors: ReadonlyMap<string, string> } {
  const command: Record<string, unknown> = { name: commandName(layout) };
  const errors = new Map<string, string>();
  for (const f of layout.fields) {
    const text = (values[f.name] ?? '').trim();
    if (isNamed(f) || text === '') continue;
    const n = toBigint(text);
    const width = BigInt(f.hi - f.lo + 1);
    const low = (1n << BigInt(f.lo)) - 1n;
    if (n === undefined || n < 0n) errors.set(f.name, 'a number is needed');
    else if (f.format === 'addr' ? n & low || n >> BigInt(f.hi + 1) : n >> width)
      errors.set(
        f.name,
        f.format === 'addr' ? `no bits outside ${f.hi}:${f.lo}` : `at most ${short((1n << width) - 1n)}`,
      );
    else if (n !== 0n) command[f.name] = /^[0-9]+$/.test(text) ? Number(n) : text;
  }
  return { command, errors };
}
