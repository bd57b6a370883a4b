/** Puts the trace lines of one guest command together: taken from the queue, what QEMU did for it, and how it ended. */

import type { Sink } from '../reader.ts';
import type { Draft } from '../record.ts';
import { cerror, errnoOf, meaningOf } from './explain.ts';
import type { Fields } from './formats.ts';

interface Open {
  readonly draft: Draft;
  command: string | null;
  readonly facts: Fields;
  readonly lines: number[];
  /** Backend calls, as sentences. */
  readonly did: string[];
  /** Errnos of backend calls that failed. */
  readonly failures: { call: string; ret: number }[];
  unhandled: boolean;
  error: number | null;
}

/** Events that tell about the queue, not about a command. */
const QUEUE = new Set(['smmuv3_cmdq_consume', 'smmuv3_cmdq_consume_out', 'smmuv3_cmdq_opcode']);
/** Facts of a command that its own events give. */
const KEYS = [
  'sid',
  'start',
  'end',
  'asid',
  'vmid',
  'addr',
  'num_pages',
  'tg',
  'ttl',
  'leaf',
  'stage',
  'hwpt_id',
  'ste_type',
];
/** Events that come from elsewhere, even between the lines of a command: a guest's accesses and a device's. */
const ELSEWHERE =
  /_mmio$|_translate|_find_ste|_get_|_ptw_|_lookup_|_insert$|decode_cd|config_cache_(?:hit|miss)|_mr$|trigger_irq|gerror|_event$/;

export class Commands {
  readonly #sink: Sink;
  #open: Open | null = null;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  event(event: string, f: Fields, record: Draft): void {
    if (event === 'smmuv3_cmdq_consume') {
      this.end();
      this.#begin(record);
      if (this.#open) this.#open.facts.index = Number(f.cons);
      this.#join(record);
      return;
    }
    if (event === 'smmuv3_cmdq_opcode') {
      if (!this.#open || this.#open.command !== null) {
        this.end();
        this.#begin(record);
      }
      this.#open!.command = String(f.opcode);
      this.#join(record);
      return;
    }
    if (event === 'smmuv3_cmdq_consume_out') {
      // The line ends the run; a command that failed was told just before.
      this.end();
      return;
    }
    const open = this.#open;
    if (!open || (ELSEWHERE.test(event) && !event.startsWith('smmuv3_accel'))) return;
    this.#join(record);
    if (event === 'smmuv3_cmdq_consume_error') {
      open.error = Number(f.error);
      open.command ??= String(f.command);
    }
    if (event === 'smmuv3_unhandled_cmd') open.unhandled = true;
    const own = event.startsWith('smmuv3_cmdq_') || event.startsWith('smmuv3_accel_') || event.endsWith('range_inval');
    if (own && !QUEUE.has(event))
      for (const k of KEYS) if (f[k] !== undefined && open.facts[k] === undefined) open.facts[k] = f[k];
    if (event.startsWith('iommufd_') || event.startsWith('smmuv3_accel_'))
      open.did.push(record.explain.replace(/\.$/, ''));
    if (event.startsWith('iommufd_') && Number(f.ret ?? 0) !== 0)
      open.failures.push({ call: event, ret: Number(f.ret) });
  }

  #begin(record: Draft): void {
    const draft: Draft = {
      type: 'qemu_guest_command',
      vendor: 'qemu',
      arch: 'smmuv3',
      line: record.line,
      model: 'smmuv3',
      explain: '',
      where: { at: 'guest.cmdq' },
    };
    this.#open = { draft, command: null, facts: {}, lines: [], did: [], failures: [], unhandled: false, error: null };
    this.#sink.record(draft);
  }

  #join(record: Draft): void {
    this.#open?.lines.push(record.line);
    if (this.#open) record.part_of = this.#open.draft.line;
  }

  /** Finishes the open command. */
  end(): void {
    const o = this.#open;
    this.#open = null;
    if (!o) return;
    const d = o.draft;
    d.command = o.command;
    Object.assign(d, o.facts);
    d.lines = [...new Set(o.lines)];
    d.ok = o.error === null && o.failures.length === 0 && !o.unhandled;
    if (o.error !== null) {
      d.error = o.error;
      d.error_name = cerror(o.error);
    }
    if (o.failures.length > 0)
      d.failed = o.failures.map((x) => ({ call: x.call, ret: x.ret, errno: errnoOf(x.ret).name }));
    d.explain = explainCommand(o);
  }
}

function target(f: Fields): string {
  const parts: string[] = [];
  if (f.sid !== undefined) parts.push(`StreamID ${f.sid}`);
  if (f.start !== undefined) parts.push(`StreamIDs ${f.start} to ${f.end}`);
  if (f.addr !== undefined)
    parts.push(
      `address ${f.addr}${f.num_pages === undefined ? '' : `, ${Number(f.num_pages)} page${f.num_pages === '0x1' ? '' : 's'}`}`,
    );
  if (f.asid !== undefined && Number(f.asid) >= 0) parts.push(`ASID ${f.asid}`);
  if (f.vmid !== undefined && Number(f.vmid) >= 0) parts.push(`VMID ${f.vmid}`);
  return parts.length > 0 ? ` for ${parts.join(', ')}` : '';
}

function explainCommand(o: Open): string {
  if (o.command === null) return 'QEMU took a command from the guest’s queue; which one is not in the text.';
  const what = `The guest ${meaningOf(o.command)} (${o.command})${target(o.facts)}`;
  const done = o.did.filter((t) => !t.includes(', and failed'));
  const did = done.length > 0 ? `; ${done.join('; ')}` : '';
  if (o.error === null && o.failures.length === 0 && !o.unhandled) return `${what}${did || '; QEMU carried it out'}.`;
  const end =
    o.error === null
      ? '; the text does not tell how the command ended'
      : `; the guest sees ${cerror(o.error)} at this command and its queue stops`;
  return `${what}${did}${end}: ${reason(o)}.`;
}

/** Why a command failed, as far as the lines around it tell. */
function reason(o: Open): string {
  const f = o.failures[0];
  if (f) {
    const { text } = errnoOf(f.ret);
    const call = f.call.replace(/^iommufd_backend_/, '');
    if (f.call.endsWith('alloc_hwpt')) return `the kernel refused the guest's STE (${call}, ${text})`;
    if (f.call.endsWith('invalidate_cache'))
      return `the kernel refused the command (${call}, ${text}): an opcode, a StreamID or a field that it does not pass on`;
    return `${call} failed (${text})`;
  }
  if (o.unhandled || /UNKNOWN|INVALID/.test(o.command ?? ''))
    return 'QEMU does not know or does not carry out this command';
  if (o.error === 2) return "QEMU could not read the guest's command or structure from guest memory";
  if (o.error === 1)
    return 'the command is not allowed here: SSec is set, the vSMMU does not have the feature, or a StreamID is out of range or its STE is bad';
  return 'the lines around it do not tell why';
}
