/** Reads trace lines of QEMU, one record a line, and one more for each command of the guest. */

import type { Lines, TextLine } from '../lines.ts';
import type { LineReader, LogReader, Sink } from '../reader.ts';
import type { Draft, Where } from '../record.ts';
import { Commands } from './commands.ts';
import { errnoOf, explainTrace } from './explain.ts';
import { type Fields, isEvent, parseArguments } from './formats.ts';
import { mmioFacts } from './registers.ts';
import { isVtdEvent, vtdFacts, vtdFields, vtdPlace } from './vtd.ts';
import { VtdDescriptors } from './vtd-descriptors.ts';
import { vtdMessage } from './vtd-messages.ts';

/** `77@1700000000.123456:smmuv3_get_ste STE addr: ..`, or the name at the start of what is printed. */
const NAME = /(?:^|[\s:])((?:smmuv3|smmu|tegra241_cmdqv|iommufd|iommu_backend|vtd|vfio)_[a-z0-9_]{2,60})(?=\s|$)/g;

const family = (event: string): { vendor: string; arch: string; model: string } =>
  event.startsWith('vtd_')
    ? { vendor: 'qemu', arch: 'vtd', model: 'intel_iommu' }
    : event.startsWith('vfio_')
      ? { vendor: 'qemu', arch: 'vfio', model: 'vfio' }
      : event.startsWith('iommu')
        ? { vendor: 'qemu', arch: 'iommufd', model: 'iommufd' }
        : { vendor: 'qemu', arch: 'smmuv3', model: 'smmuv3' };

function place(event: string, f: Fields): Where {
  const sid = typeof f.sid === 'string' ? { sid: f.sid } : {};
  if (isVtdEvent(event)) return vtdPlace(event, f);
  if (event.startsWith('iommu') || event.startsWith('vfio_')) return { at: 'kernel.driver' };
  if (/cmdq_|unhandled_cmd|accel_|_inval|_inv/.test(event)) return { at: 'vmm.vsmmu', ...sid };
  if (/event|evtq/.test(event)) return { at: 'guest.evtq', ...sid };
  return { at: 'vmm.vsmmu', ...sid };
}

const access = ['none', 'read', 'write', 'read-write'] as const;

/** Facts that are not printed as such. */
function derived(event: string, f: Fields): Record<string, unknown> {
  if (/^smmuv3_(?:read|write)_mmio$/.test(event)) return mmioFacts(Number(f.addr), BigInt(f.val as string));
  if (isVtdEvent(event)) return vtdFacts(event, f);
  if (event === 'smmuv3_translate_success') return { access: access[Number(f.perm) & 3] };
  return {};
}

function cleaned(event: string, f: Fields): Fields {
  if (isVtdEvent(event)) return vtdFields(event, f);
  if (event === 'smmuv3_cmdq_opcode') return { ...f, opcode: String(f.opcode).replace(/^SMMU_CMD_/, 'CMD_') };
  if (event === 'smmuv3_cmdq_consume_error') return { ...f, command: String(f.command).replace(/^SMMU_CMD_/, 'CMD_') };
  return f;
}

class QemuSession implements LineReader {
  readonly #sink: Sink;
  readonly #commands: Commands;
  readonly #descriptors: VtdDescriptors;
  /** Records of VFIO's listener, which does not say whose mappings it follows. */
  readonly #listener: Draft[] = [];
  #vtd = false;

  constructor(sink: Sink) {
    this.#sink = sink;
    this.#commands = new Commands(sink);
    this.#descriptors = new VtdDescriptors(sink);
  }

  read(lines: Lines): number {
    const line = lines.peek(0);
    if (!line) return 0;
    if (!line.text.includes('_') && !/fault|Interrupt Mask|IOVA overflow/i.test(line.text)) return 0;
    const message = line.text.includes('qemu-system') ? failureRecord(line) : null;
    if (message) {
      this.#sink.record(message);
      return 1;
    }
    const vtd = vtdMessage(lines);
    if (vtd) {
      this.#sink.record(vtd.draft);
      return vtd.taken;
    }
    const found = names(line.text);
    if (found.length === 0) return 0;
    let used = 1;
    found.forEach((m, i) => {
      const text = line.text.slice(m.end, found[i + 1]?.start);
      let parsed = parseArguments(m.name, text);
      // A mail program may have wrapped the line.
      if (!parsed && i === found.length - 1) {
        let joined = text;
        for (let k = 1; k <= 3 && !parsed; k++) {
          const next = lines.peek(k);
          if (!next || next.headed || names(next.text).length > 0) break;
          joined = `${joined} ${next.text.trim()}`;
          parsed = parseArguments(m.name, joined);
          if (parsed) used = k + 1;
        }
      }
      if (parsed) this.#record(m.name, cleaned(m.name, parsed.fields), line);
      else this.#sink.unread(line, `QEMU trace event ${m.name} in a form that is not known`);
    });
    return used;
  }

  end(): void {
    this.#commands.end();
    this.#descriptors.end();
    // Beside VT-d events it follows the VT-d model.
    if (this.#vtd) for (const d of this.#listener) Object.assign(d, { arch: 'vtd', model: 'intel_iommu' });
  }

  #record(event: string, f: Fields, line: TextLine): void {
    const { vendor, arch, model } = family(event);
    const facts = derived(event, f);
    const draft: Draft = {
      type: 'qemu_trace',
      vendor,
      arch,
      line: line.number,
      model,
      event,
      ...f,
      ...facts,
      explain: explainTrace(event, f, facts),
      where: place(event, f),
    };
    if (event.startsWith('vfio_')) this.#listener.push(draft);
    this.#vtd ||= isVtdEvent(event);
    this.#commands.event(event, f, draft);
    this.#descriptors.event(event, f, draft);
    this.#sink.record(draft);
  }
}

/** Texts of strerror that the ioctls of iommufd give. */
const errors: Readonly<Record<string, string>> = {
  'Invalid argument': 'EINVAL',
  'No such file or directory': 'ENOENT',
  'Device or resource busy': 'EBUSY',
  'Cannot allocate memory': 'ENOMEM',
  'Bad address': 'EFAULT',
  'File exists': 'EEXIST',
  'No such device': 'ENODEV',
  'No such device or address': 'ENXIO',
  'Input/output error': 'EIO',
  'Inappropriate ioctl for device': 'ENOTTY',
  'Operation not supported': 'EOPNOTSUPP',
  'Operation not permitted': 'EPERM',
  'Permission denied': 'EACCES',
  'No space left on device': 'ENOSPC',
  'Numerical result out of range': 'ERANGE',
  'Value too large for defined data type': 'EOVERFLOW',
};

/** `qemu-system-x: IOMMU_IOAS_MAP failed: Invalid argument`, `.. vfio_container_dma_map(..) = -22 (..)` */
function failureRecord(line: TextLine): Draft | null {
  const head = { type: 'qemu_message', vendor: 'qemu', arch: 'iommufd', line: line.number, model: 'iommufd' };
  const call =
    /qemu-system[\w-]*:\s+(?:[\w:.-]{1,40}:\s+)?((?:IOMMU|VFIO)_[A-Z_]{3,40}) failed:? ?([A-Z][\w /]{2,50})?/.exec(
      line.text,
    );
  if (call) {
    const errno = call[2] ? errors[call[2].trim()] : undefined;
    return {
      ...head,
      event: `${call[1]} failed`,
      ...(errno ? { errno } : {}),
      explain: `The kernel refused QEMU's ${call[1]}${call[2] ? ` (${errno ?? call[2].trim()})` : ''}.`,
      where: { at: 'kernel.driver' },
    };
  }
  const dma =
    /\b(vfio_(?:container_)?dma_(?:un)?map)\((0x[0-9a-f]+), (0x[0-9a-f]+), (0x[0-9a-f]+)(?:, (?:0x[0-9a-f]+|\(nil\)))?\) = (-?\d{1,4})/.exec(
      line.text,
    );
  if (!dma) return null;
  const [, event, , iova, size, ret] = dma;
  return {
    ...head,
    event,
    iova,
    size,
    ret: Number(ret),
    explain: `QEMU could not ${event!.includes('unmap') ? 'unmap' : 'map'} ${size} bytes at ${iova} for the device: ${errnoOf(Number(ret)).text}.`,
    where: { at: 'kernel.driver' },
  };
}

function names(text: string): { name: string; start: number; end: number }[] {
  const out: { name: string; start: number; end: number }[] = [];
  for (const m of text.matchAll(NAME)) {
    const name = m[1] as string;
    if (!isEvent(name)) continue;
    const end = m.index + m[0].length;
    out.push({ name, start: end - name.length, end });
  }
  return out;
}

/** Trace events of QEMU's SMMUv3 and VT-d models, their acceleration, CMDQV, VFIO and iommufd back end, and VT-d's error messages. */
export const qemuReader: LogReader = { name: 'qemu', start: (sink) => new QemuSession(sink) };
