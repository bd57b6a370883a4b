import { Injector, type Op, runToEnd } from '../../machine/index.ts';
import { guestRam } from '../../memory/fixtures/guest-ram.ts';
import { PageAllocator } from '../../memory/index.ts';
import { Trace } from '../../trace/index.ts';
import { hexBytes, RecordingKernel } from '../../vmm/fixtures/recording-kernel.ts';
import { physicalFeatures } from '../hardware/features.ts';
import { encodeCommand } from '../layout/index.ts';
import { Vmm, type VmmParts } from './vmm.ts';

/** For tests: a kernel on an SMMUv3. */
export class ArmKernel extends RecordingKernel {
  /** IDR0..IDR5 of the physical SMMU: ATS, RIL, 48-bit output, 16-bit SubstreamIDs. */
  idr = [...physicalFeatures({}).idr];

  protected hwInfo() {
    return { type: 2, data: hexBytes([0, 0, ...this.idr, 0, 1], 4) };
  }

  /** Raw command words. */
  protected entryText(entry: Readonly<Record<string, unknown>>): string {
    return (entry['cmd'] as bigint[]).map((w) => w.toString(16).padStart(16, '0')).join(' ');
  }

  protected dataText(data: Readonly<Record<string, unknown>>): string {
    return `ste=${(data['ste'] as bigint[]).map((w) => `0x${w.toString(16)}`).join(',')}`;
  }
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
  const { memory, process } = guestRam(2 ** 34);
  const kernel = new ArmKernel();
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
