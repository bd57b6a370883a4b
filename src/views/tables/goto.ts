import { hex } from '../../engine/bits/index.ts';
import type { TablePath, TableRoot } from '../../engine/machine/index.ts';

/** Where a person wants to go: the walk of a device's request, an input of one table, or bytes at an address. */
export type Goal =
  | { readonly kind: 'walk'; readonly device: string; readonly pasid?: bigint; readonly address: bigint }
  | { readonly kind: 'input'; readonly address: bigint }
  | { readonly kind: 'bytes'; readonly space: 'guest' | 'host'; readonly guest?: string; readonly address: number };

export type ParsedGoal = { readonly ok: true; readonly goal: Goal } | { readonly ok: false; readonly text: string };

/** Names that a goal may have. */
export interface GoalNames {
  readonly devices: readonly string[];
  readonly guests: readonly string[];
}

const MAX = (1n << 64n) - 1n;

function numberOf(text: string): bigint | null {
  const plain = text.replaceAll('_', '');
  if (/^(?:0x[0-9a-f]{1,16}|\d{1,20})$/i.test(plain)) return BigInt(plain);
  // A bare hexadecimal number with a letter in it can be nothing else.
  return /^[0-9a-f]{1,16}$/i.test(plain) && /[a-f]/i.test(plain) ? BigInt(`0x${plain}`) : null;
}

const refused = (text: string): ParsedGoal => ({ ok: false, text });

/** Reads `0x10000`, `nic0 0x10000`, `nic0 pasid 5 0x10000`, `guest 0x40200000`, `host 0x1000`, `vm1 0x40200000`. */
export function parseGoal(text: string, names: GoalNames): ParsedGoal {
  const words = text.trim().split(/[\s,]+/);
  const last = words.pop() ?? '';
  const address = numberOf(last);
  if (address === null) return refused(last === '' ? 'Type an address.' : `${last} is not an address.`);
  if (address > MAX) return refused(`${last} has more than 64 bits.`);
  let device: string | undefined;
  let pasid: bigint | undefined;
  let space: 'guest' | 'host' | undefined;
  let guest: string | undefined;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const low = word.toLowerCase();
    if (low === 'pasid' || low === 'ssid') {
      const n = numberOf(words[++i] ?? '');
      if (n === null || n >= 1n << 20n) return refused(`${low.toUpperCase()} needs a number below 2^20.`);
      pasid = n;
    } else if (low === 'guest' || low === 'host') space = low;
    else if (names.devices.includes(word)) device = word;
    else if (names.guests.includes(word)) {
      guest = word;
      space = 'guest';
    } else return refused(`${word} is no device and no memory here.`);
  }
  if (space) {
    if (device || pasid !== undefined) return refused('Name a device or a memory, not both.');
    if (address >= 1n << 52n) return refused(`${last} is beyond 52 bits.`);
    const at = Number(address) - (Number(address) % 8);
    return { ok: true, goal: { kind: 'bytes', space, ...(guest ? { guest } : {}), address: at } };
  }
  if (pasid !== undefined && !device) {
    device = names.devices[0];
    if (!device) return refused('No device is there that could send a PASID.');
  }
  if (device) return { ok: true, goal: { kind: 'walk', device, ...(pasid === undefined ? {} : { pasid }), address } };
  return { ok: true, goal: { kind: 'input', address } };
}

/** The devices whose requests begin at a root of the host, each once. */
export const devicesOf = (roots: readonly TableRoot[]): string[] => [
  ...new Set(roots.flatMap((r) => (r.ref.space === 'host' ? (r.devices ?? []).map((d) => d.name) : []))),
];

/** What a way leads to, in one line. */
export function pathText(path: TablePath, address: bigint): string {
  const reads = path.steps.length + (path.second?.steps.length ?? 0);
  const over = `through ${reads} ${reads === 1 ? 'entry' : 'entries'}`;
  const end = (p: TablePath): string => {
    const last = p.steps.at(-1);
    return last ? `${last.ref.title.toLowerCase()}: ${last.entry.text}` : 'no table has it';
  };
  if (path.output === null) return `${hex(address)} ends in ${end(path)}`;
  if (!path.second) return `${hex(address)} → ${hex(path.output)} ${over}`;
  if (path.second.output === null) return `${hex(address)} → ${hex(path.output)}, which ends in ${end(path.second)}`;
  return `${hex(address)} → ${hex(path.output)} → ${hex(path.second.output)} ${over}`;
}
