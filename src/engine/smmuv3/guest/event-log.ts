import { eventName } from '../layout/index.ts';

const classes = ['CD fetch', 'Stage 1 translation table fetch', 'Input address caused fault', 'Reserved'];
const FETCH_EVENTS = new Set([0x03, 0x09, 0x25]);
const F_PERMISSION = 0x13;

/** printf's %#x: no prefix before a zero. */
const hash = (n: bigint): string => (n === 0n ? '0' : `0x${n.toString(16)}`);

/**
 * What Linux prints of an event record that nothing else handles (arm_smmu_dump_raw_event, arm_smmu_dump_event):
 * the raw words, then who, where and why.
 * @param words four 64-bit words
 */
export function eventLogLines(words: readonly bigint[], client: string): string[] {
  const [w0, w1, w2, w3] = [words[0] ?? 0n, words[1] ?? 0n, words[2] ?? 0n, words[3] ?? 0n];
  const id = Number(w0 & 0xffn);
  const bit = (n: bigint): boolean => ((w1 >> n) & 1n) === 1n;
  const lines = [`event 0x${id.toString(16).padStart(2, '0')} received:`];
  for (const w of [w0, w1, w2, w3]) lines.push(`\t0x${w.toString(16).padStart(16, '0')}`);
  const ssid = w0 & 0x800n ? (w0 >> 12n) & 0xfffffn : 0n;
  const who = `event: ${eventName(id)} client: ${client} sid: ${hash((w0 >> 32n) & 0xffffffffn)} ssid: ${hash(ssid)}`;
  if (FETCH_EVENTS.has(id)) lines.push(`${who} fetch_addr: ${hash(w3 & 0xffffffffffff8n)}`);
  else if (id < 0x10 || id > F_PERMISSION) lines.push(who);
  else {
    const cls = Number((w1 >> 40n) & 3n);
    const table = id === F_PERMISSION && cls === 1 ? (bit(44n) ? ' ttd_read' : ' ttd_write') : '';
    const access = `${bit(33n) ? 'priv' : 'unpriv'} ${bit(34n) ? 'inst' : 'data'} ${bit(35n) ? 'read' : 'write'}`;
    lines.push(`${who} iova: ${hash(w2)} ipa: ${hash(w3 & 0xffffffffff000n)}`);
    const stall = bit(31n) ? ' stall' : '';
    lines.push(`${access} ${bit(39n) ? 's2' : 's1'} "${classes[cls]}"${table}${stall} stag: ${hash(w1 & 0xffffn)}`);
  }
  return lines;
}
