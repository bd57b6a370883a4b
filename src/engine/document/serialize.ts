import type { Operation } from '../machine/vendor.ts';
import { conversions } from './conversions.ts';
import { bytesHex } from './number.ts';
import type { Step } from './operations.ts';
import type { ScenarioDocument } from './schema.ts';

/** One line of JSON with a space after each comma and colon. */
function line(v: unknown): string {
  if (Array.isArray(v)) return `[${v.map(line).join(', ')}]`;
  if (typeof v !== 'object' || v === null) return JSON.stringify(v);
  return `{${entries(v)
    .map(([k, x]) => `${JSON.stringify(k)}: ${line(x)}`)
    .join(', ')}}`;
}

const entries = (v: object): [string, unknown][] => Object.entries(v).filter(([, x]) => x !== undefined);

const documentKeys = ['$schema', 'format', 'title', 'about', 'platform', 'devices', 'setup', 'steps'] as const;
const platformKeys = ['iommu', 'iommus', 'features', 'memory', 'guest', 'guests', 'policy', 'deviations'];
const deviceKeys = ['name', 'rid', 'vrid', 'pasidBits', 'ats', 'pri', 'stall', 'iommu', 'guest', 'viommu'];

const ordered = (v: object, keys: readonly string[]): Record<string, unknown> => {
  const given = v as Readonly<Record<string, unknown>>;
  const rest = Object.keys(given).filter((k) => !keys.includes(k));
  return Object.fromEntries([...keys, ...rest].filter((k) => given[k] !== undefined).map((k) => [k, given[k]]));
};

function stepKeys(step: Step): string[] {
  return ['do', ...Object.keys(conversions[step.do] ?? {}), 'as', 'expect', 'show', 'say'];
}

/**
 * A document as text: keys in the format's order, a device or a step a line. The same document gives the same text
 * whatever order its keys had; reading it gives the document back.
 */
export function serializeDocument(doc: ScenarioDocument): string {
  const list = (items: readonly string[]): string => (items.length ? `[\n    ${items.join(',\n    ')}\n  ]` : '[]');
  const lines = documentKeys.flatMap((key) => {
    if (doc[key] === undefined) return [];
    const text =
      key === 'steps'
        ? list(doc.steps.map((s) => line(ordered(s, stepKeys(s)))))
        : key === 'devices'
          ? list((doc.devices ?? []).map((d) => line(ordered(d, deviceKeys))))
          : key === 'platform'
            ? line(ordered(doc.platform, platformKeys))
            : line(doc[key]);
    return [`  ${JSON.stringify(key)}: ${text}`];
  });
  return `{\n${lines.join(',\n')}\n}\n`;
}

const units = [
  [2 ** 30, 'GiB'],
  [2 ** 20, 'MiB'],
  [2 ** 10, 'KiB'],
] as const;

/** `2MiB`, or the number of bytes. */
function sizeText(n: number): string | number {
  for (const [bytes, unit] of units) if (n >= bytes && n % bytes === 0) return `${n / bytes}${unit}`;
  return n;
}

/**
 * An operation that a platform proposes as a step of a document: numbers in the notation that a person would write,
 * defaults left out. Fields that are already in the document's notation stay.
 */
export function toStep(op: Operation): Step {
  const fields = conversions[op.do] ?? {};
  const out: Record<string, unknown> = { do: op.do };
  for (const [name, v] of Object.entries(op)) {
    const f = Object.hasOwn(fields, name) ? fields[name]! : undefined;
    if (name === 'do' || v === undefined || (op.do === 'memory.write' && name === 'bytes')) continue;
    const text = f?.take === 'command' ? commandText(v) : written(v, f?.size === true, f?.hex === true);
    if (f?.default === undefined || line(text) !== line(f.default)) out[name] = text;
  }
  return out as unknown as Step;
}

function written(v: unknown, size: boolean, hex: boolean): unknown {
  if (typeof v === 'bigint') return `0x${v.toString(16)}`;
  if (typeof v === 'number') return size ? sizeText(v) : hex ? `0x${v.toString(16)}` : v;
  if (v instanceof Uint8Array) return bytesHex(v);
  if (Array.isArray(v)) return v.map((x) => written(x, size, hex));
  if (typeof v !== 'object' || v === null) return v;
  return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, written(x, false, false)]));
}

function commandText(v: unknown): unknown {
  const { name, fields, ...rest } = v as { name: string; fields?: object };
  return written({ name, ...rest, ...fields }, false, false);
}
