import { Injector, type Op, pause, runToEnd } from '../../machine/index.ts';
import { GuestMemory, Memory, PageAllocator, ProcessMemory } from '../../memory/index.ts';
import { Trace } from '../../trace/index.ts';
import { physicalFeatures } from '../hardware/features.ts';
import { encodeCommand } from '../layout/index.ts';
import type { HostKernel } from './state.ts';
import { Vmm, type VmmParts } from './vmm.ts';

/** File descriptors of the event queue and of the fault queue. */
const EVENTS = 99;
const FAULTS = 98;

type Answer = { errno: string; out?: Record<string, unknown> };

/** For tests: a kernel that says yes, hands out ids from 1 and keeps a list of what it was asked. */
export class RecordingKernel implements HostKernel {
  /** `IOMMU_HWPT_ALLOC pt_id=4 ste=0x1,0x0`, in order. */
  readonly seen: string[] = [];
  /** Raw command words of IOMMU_HWPT_INVALIDATE, one list a call. */
  readonly invalidations: string[][] = [];
  /** Answers to give instead, by call; each is used once. */
  readonly answers = new Map<string, Answer>();
  /** An errno to answer with, asked for each call; null: no objection. */
  refuse: (call: string, input: Readonly<Record<string, unknown>>, fd: number) => string | null = () => null;
  /** Records that the next reads of the event queue return. */
  readonly events: Record<string, unknown>[] = [];
  /** The same for the fault queue. */
  readonly faults: Record<string, unknown>[] = [];
  /** What was written to the fault queue. */
  readonly responses: unknown[] = [];
  maxPasidLog2 = 0;
  /** IDR0..IDR5 of the physical SMMU: ATS, RIL, 48-bit output, 16-bit SubstreamIDs. */
  idr = [...physicalFeatures({}).idr];
  private nextId = 1;
  private nextFd = 10;

  *ioctl(c: { call: string; fd: number; input: Readonly<Record<string, unknown>> | null }): Op<{
    errno: string;
    out: Record<string, unknown>;
  }> {
    const input = c.input ?? {};
    this.seen.push(`${c.call.replace(/^(IOMMU|VFIO_DEVICE)_/, '')}${describe(input)}`);
    const answer = this.answers.get(c.call);
    if (answer) {
      this.answers.delete(c.call);
      return { errno: answer.errno, out: answer.out ?? {} };
    }
    const refused = this.refuse(c.call, input, c.fd);
    if (refused) return { errno: refused, out: {} };
    if (c.call === 'IOMMU_HWPT_INVALIDATE') {
      const entries = input['entries'] as { cmd: bigint[] }[];
      this.invalidations.push(entries.map((e) => e.cmd.map((w) => w.toString(16).padStart(16, '0')).join(' ')));
      return { errno: '0', out: { entry_num: entries.length } };
    }
    if (c.call === 'IOMMU_GET_HW_INFO') return this.info();
    const names: Record<string, string> = {
      IOMMU_IOAS_ALLOC: 'out_ioas_id',
      IOMMU_HWPT_ALLOC: 'out_hwpt_id',
      IOMMU_VIOMMU_ALLOC: 'out_viommu_id',
      IOMMU_VDEVICE_ALLOC: 'out_vdevice_id',
      IOMMU_VEVENTQ_ALLOC: 'out_veventq_id',
      IOMMU_FAULT_QUEUE_ALLOC: 'out_fault_id',
      VFIO_DEVICE_BIND_IOMMUFD: 'out_devid',
    };
    const out = names[c.call];
    return { errno: '0', out: out ? { [out]: this.nextId++, out_veventq_fd: EVENTS, out_fault_fd: FAULTS } : {} };
  }

  hasDevice(): boolean {
    return true;
  }

  openDevice(): number {
    return this.nextFd++;
  }

  *close(fd: number): Op<{ errno: string }> {
    yield pause('iommufd', 'close');
    this.seen.push(`close ${fd}`);
    return { errno: '0' };
  }

  read(fd: number): { errno: string; out: { records: Record<string, unknown>[] } } {
    const record = (fd === FAULTS ? this.faults : this.events).shift();
    return { errno: '0', out: { records: record ? [record] : [] } };
  }

  *write(fd: number, records: readonly unknown[]): Op<{ errno: string }> {
    yield pause('iommufd', 'write');
    this.responses.push(...records);
    return { errno: this.refuse('write', {}, fd) ?? '0' };
  }

  take(): string[] {
    return this.seen.splice(0);
  }

  private info(): { errno: string; out: Record<string, unknown> } {
    return {
      errno: '0',
      out: { out_data_type: 2, out_max_pasid_log2: this.maxPasidLog2, data: this.hwInfo() },
    };
  }

  private hwInfo(): string {
    return [0, 0, ...this.idr, 0, 1]
      .map((w) => (w >>> 0).toString(16).padStart(8, '0').match(/../g)!.reverse().join(''))
      .join('');
  }
}

/** The fields that matter in a test: ids, sizes and vendor data. */
function describe(input: Readonly<Record<string, unknown>>): string {
  const data = input['data'] as { ste: bigint[] } | undefined;
  const skip = new Set(['flags', 'data', 'entries', 'data_len', 'data_type', 'entry_len', 'type']);
  const parts = Object.entries(input)
    .filter(([k, v]) => !skip.has(k) || (k === 'flags' && v !== 0))
    .map(([k, v]) => `${k}=${typeof v === 'bigint' ? `0x${v.toString(16)}` : v}`);
  if (data) parts.push(`ste=${data.ste.map((w) => `0x${w.toString(16)}`).join(',')}`);
  return parts.map((p) => ` ${p}`).join('');
}

export type RecorderOptions = Parameters<typeof vmmOnRecorder>[0];

/** For tests: started, nic0 plugged, queue on; `seen` starts empty. */
export function plugged(o: RecorderOptions = {}) {
  const v = vmmOnRecorder(o);
  const ok = [v.run(v.vmm.start()), v.run(v.vmm.plug('nic0'))].every((r) => r.ok);
  if (!ok) throw new Error('nic0 cannot be plugged');
  v.enableQueue();
  v.kernel.take();
  return v;
}

/** For tests: as `plugged`, with the guest's SMMU on and an S1 STE installed for nic0. */
export function translating(o: RecorderOptions = {}) {
  const v = plugged(o);
  v.write('CR0', 0xd);
  v.ste(8, 0x4810000bn, 0xd6n);
  v.post(encodeCommand('CFGI_STE', { SID: 8, Leaf: 1 }));
  v.kernel.take();
  return v;
}

/** For tests: a VMM with 256 MiB of guest memory at 0x4000_0000, a command queue at its start and the recording kernel. */
export function vmmOnRecorder(
  o: Partial<Pick<VmmParts, 'deviations' | 'batch' | 'devices' | 'units' | 'properties' | 'pageFaults' | 'scope'>> = {},
) {
  const host = new Memory(2 ** 34);
  const process = new ProcessMemory();
  process.add({ uva: 0x7f0000000000, size: 2 ** 28, base: 0x80000000, chunk: 4096 });
  const memory = new GuestMemory(host, process);
  memory.addSlot({ gpa: 0x40000000, size: 2 ** 28, uva: 0x7f0000000000 });
  const kernel = new RecordingKernel();
  const trace = new Trace();
  const injector = new Injector(trace);
  const devices = o.devices ?? [
    { name: 'nic0', vrid: 8 },
    { name: 'nic1', vrid: 0x10 },
  ];
  const vmm = new Vmm({
    kernel,
    memory,
    process,
    hostPages: new PageAllocator(0x100000000, 0x200000000),
    trace,
    injector,
    ...o,
    devices,
  });
  const run = <T>(op: Op<T>): T => runToEnd(op);
  const write = (reg: string, value: number | bigint): void => run(vmm.writeVirtual(reg, BigInt(value)));
  let prod = 0;
  /** Puts commands into the queue and rings the doorbell. */
  const post = (...commands: bigint[][]): void => {
    for (const c of commands) {
      const at = 0x40000000 + (prod % 256) * 16;
      memory.writeWord(at, c[0]!);
      memory.writeWord(at + 8, c[1]!);
      prod = (prod + 1) % 512;
    }
    write('CMDQ_PROD', prod);
  };
  /** The registers as a guest leaves them before SMMUEN: queue of 256 entries, linear stream table of 256 at 0x4010_0000. */
  const enableQueue = (): void => {
    write('CMDQ_BASE', 0x40000008n);
    write('STRTAB_BASE', 0x40100000n);
    write('STRTAB_BASE_CFG', 8);
    write('IRQ_CTRL', 5);
    write('CR0', 8);
  };
  const ste = (sid: number, ...words: bigint[]): void =>
    words.forEach((w, i) => {
      memory.writeWord(0x40100000 + sid * 64 + i * 8, w);
    });
  return { vmm, kernel, memory, trace, injector, run, write, post, enableQueue, ste };
}
