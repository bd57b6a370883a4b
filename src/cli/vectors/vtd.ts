import { Injector, runToEnd } from '../../engine/machine/index.ts';
import { Memory, PageAllocator } from '../../engine/memory/index.ts';
import { PciDevice } from '../../engine/pci/index.ts';
import { Trace } from '../../engine/trace/index.ts';
import { physicalFeatures } from '../../engine/vtd/hardware/features.ts';
import { VtdUnit } from '../../engine/vtd/hardware/unit.ts';
import {
  alignedRange,
  attachDevice,
  createKernel,
  deviceOf,
  enableTranslation,
  finalizeDevice,
  flushRange,
  linuxRules,
  newDomain,
  probeDevice,
  startUnits,
} from '../../engine/vtd/linux/index.ts';
import { big, type Check, number, onlyKeys, record, same, text } from './value.ts';

/** Checks of `flush-vtd`: a kernel on a unit with that MAMV flushes a second-stage domain; its descriptors are compared. */

const hex = (v: bigint): string => `0x${v.toString(16)}`;

/** The descriptors of a flush, first and second word, by type. */
function flush(start: bigint, end: bigint, mamv: number): Map<number, readonly bigint[]> {
  const memory = new Memory(2 ** 30);
  const trace = new Trace();
  const injector = new Injector(trace);
  const device = new PciDevice({ name: 'device', rid: 0x3b00, vrid: 0, pasidBits: 0, ats: true, pri: false });
  const unit = new VtdUnit(memory, physicalFeatures({ MAMV: mamv }), [device], trace, injector);
  const ids = { driver: '', unit: '', queue: '', prq: '', frcd: '', root: '', context: () => '', pasid: () => '' };
  const k = createKernel({
    actor: 'driver',
    bus: memory,
    pages: new PageAllocator(0x1000_0000, 0x4000_0000),
    trace,
    injector,
    rules: linuxRules,
    units: [{ name: 'dmar0', port: unit, ids }],
    devices: [
      {
        pci: {
          name: device.name,
          rid: device.rid,
          pasidBits: 0,
          atsCapable: true,
          priCapable: false,
          atsEnabled: false,
          priEnabled: false,
          pasidEnabled: false,
        },
        unit: 0,
      },
    ],
  });
  runToEnd(startUnits(k));
  runToEnd(probeDevice(k, device.name));
  const domain = newDomain(k, { kind: 'ss', root: 0x2000_0000n, levels: 4 });
  runToEnd(attachDevice(k, deviceOf(k, device.name), domain));
  runToEnd(finalizeDevice(k, device.name));
  device.atsEnabled = true;
  runToEnd(enableTranslation(k));
  const out = new Map<number, readonly bigint[]>();
  trace.listener = (e) => {
    if (e.kind === 'command.post') out.set(Number(e.command.words[0]! & 0xfn), e.command.words);
  };
  runToEnd(flushRange(k, domain, start, end, false));
  return out;
}

const range: Check = (v) => {
  onlyKeys(v, ['name', 'start', 'end', 'maxAddressMask', 'expect'], 'vector');
  const expect = record(v['expect'], 'expect');
  onlyKeys(expect, ['addr', 'mask', 'pages', 'iotlb', 'deviceTlb'], 'expect');
  const iotlb = record(expect['iotlb'], 'expect.iotlb');
  onlyKeys(iotlb, ['granularity', 'qw1'], 'expect.iotlb');
  const deviceTlb = record(expect['deviceTlb'], 'expect.deviceTlb');
  onlyKeys(deviceTlb, ['qw1'], 'expect.deviceTlb');
  const start = big(v['start'], 'start');
  const end = big(v['end'], 'end');
  const r = alignedRange(start, end);
  const sent = flush(start, end, number(v['maxAddressMask'], 'maxAddressMask', 63));
  const [qw0 = 0n, qw1 = 0n] = sent.get(2) ?? [];
  const granularity = ((qw0 >> 4n) & 3n) === 3n ? 'page' : 'domain';
  const wanted = text(iotlb['granularity'], 'expect.iotlb.granularity');
  return (
    same('addr', hex(big(expect['addr'], 'expect.addr')), hex(r.address)) ??
    same('mask', String(number(expect['mask'], 'expect.mask')), String(r.mask)) ??
    same('pages', hex(big(expect['pages'], 'expect.pages')), hex(1n << BigInt(r.mask))) ??
    same('iotlb.granularity', wanted, granularity) ??
    same(
      'iotlb.qw1',
      wanted === 'domain' && iotlb['qw1'] === undefined ? '0x0' : hex(big(iotlb['qw1'], 'expect.iotlb.qw1')),
      hex(qw1),
    ) ??
    same('deviceTlb.qw1', hex(big(deviceTlb['qw1'], 'expect.deviceTlb.qw1')), hex(sent.get(3)?.[1] ?? 0n))
  );
};

/** Vectors of this folder have no kind. */
export const vtdChecks: Readonly<Record<string, Readonly<Record<string, Check>>>> = { 'flush-vtd': { '': range } };
