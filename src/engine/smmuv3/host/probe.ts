import { type Op, pause } from '../../machine/index.ts';
import { featureWord, probeFeatures } from './features.ts';
import { submit } from './queue.ts';
import { allocateZeroed, featuresOf, type Host, log, newMaster, type Ring } from './state.ts';
import { makeStreamTable, streamTableConfig, streamTableEntry } from './tables.ts';

/** Probe and reset of the SMMU (arm-smmu-v3.c arm_smmu_device_probe, arm_smmu_device_reset), then of the devices. */

const CR0 = { smmuen: 1, priqen: 2, eventqen: 4, cmdqen: 8, atschk: 16 };
const IRQ = { gerror: 1, priq: 2, evtq: 4 };
/** Tables and queues inner shareable and write-back. */
const CR1 = 0xd75;
const CR2 = { e2h: 1, recinvsid: 2, ptm: 4 };
const GBPA = { update: 0x80000000, abort: 0x100000 };
const READ_ALLOCATE = 1n << 62n;

/** @returns false when the kernel would refuse this SMMU (ENXIO); the reason is in the log */
export function* probeSmmu(h: Host): Op<boolean> {
  const idr = [0, 1, 2, 3, 4, 5].map((i) => Number(h.smmu.readRegister(`IDR${i}`)));
  const probed = probeFeatures(idr);
  if ('error' in probed) {
    h.state.error = probed.error;
    log(h, h.ids.driver, probed.error);
    return false;
  }
  const f = probed.features;
  h.state.features = f;
  const mixedEndian = ((idr[0]! >>> 21) & 3) === 0;
  const word = featureWord(f, mixedEndian).toString(16).padStart(8, '0');
  log(h, h.ids.driver, `oas ${f.oas}-bit (features 0x${word})`);
  h.state.cmdq = makeRing(h, 'cmdq', f.cmdqLog2, 16);
  h.state.evtq = makeRing(h, 'evtq', f.evtqLog2, 32);
  h.state.priq = f.pri ? makeRing(h, 'priq', f.priqLog2, 16) : null;
  h.state.strtab = makeStreamTable(h);
  yield* reset(h);
  return true;
}

function makeRing(h: Host, name: string, log2: number, entry: number): Ring {
  const base = allocateZeroed(h, 2 ** log2 * entry);
  log(h, h.ids.driver, `allocated ${2 ** log2} entries for ${name}`);
  return { base, log2, prod: 0, cons: 0 };
}

function* reset(h: Host): Op<void> {
  const f = featuresOf(h);
  const { priq } = h.state;
  const { smmu } = h;
  const write = (reg: string, value: number | bigint): Op<void> => smmu.writeRegister(reg, BigInt(value));
  function* enable(reg: 'CR0' | 'IRQ_CTRL', value: number): Op<void> {
    yield* write(reg, value);
    const ack = smmu.readRegister(`${reg}ACK`);
    if (ack !== BigInt(value))
      throw new Error(`${reg} 0x${value.toString(16)} was not acknowledged: 0x${ack.toString(16)}`);
    yield pause('driver', 'register');
  }
  // A bootloader's SMMU is stopped with all DMA blocked.
  if (Number(smmu.readRegister('CR0')) & CR0.smmuen)
    yield* write('GBPA', (Number(smmu.readRegister('GBPA')) | GBPA.abort | GBPA.update) >>> 0);
  yield* enable('CR0', 0);
  yield* write('CR1', CR1);
  yield* write('CR2', CR2.ptm | CR2.recinvsid | (f.e2h ? CR2.e2h : 0));
  const strtab = h.state.strtab!;
  yield* write('STRTAB_BASE', BigInt(strtab.base) | READ_ALLOCATE);
  yield* write('STRTAB_BASE_CFG', streamTableConfig(strtab));

  const ringBase = (r: Ring): bigint => BigInt(r.base) | READ_ALLOCATE | BigInt(r.log2);
  const cmdq = h.state.cmdq!;
  yield* write('CMDQ_BASE', ringBase(cmdq));
  yield* write('CMDQ_PROD', cmdq.prod);
  yield* write('CMDQ_CONS', cmdq.cons);
  let enables = CR0.cmdqen;
  yield* enable('CR0', enables);

  // Whatever an earlier user left in the caches.
  for (const commands of h.rules.resetCaches(f.hyp)) yield* submit(h, commands);

  const evtq = h.state.evtq!;
  yield* write('EVENTQ_BASE', ringBase(evtq));
  yield* write('EVENTQ_PROD', evtq.prod);
  yield* write('EVENTQ_CONS', evtq.cons);
  enables |= CR0.eventqen;
  yield* enable('CR0', enables);
  if (priq) {
    yield* write('PRIQ_BASE', ringBase(priq));
    yield* write('PRIQ_PROD', priq.prod);
    yield* write('PRIQ_CONS', priq.cons);
    enables |= CR0.priqen;
    yield* enable('CR0', enables);
  }
  if (f.ats) {
    enables |= CR0.atschk;
    yield* enable('CR0', enables);
  }
  yield* enable('IRQ_CTRL', 0);
  // Wired interrupts: no MSI is set up.
  yield* write('GERROR_IRQ_CFG0', 0);
  yield* write('EVENTQ_IRQ_CFG0', 0);
  if (priq) yield* write('PRIQ_IRQ_CFG0', 0);
  yield* enable('IRQ_CTRL', IRQ.gerror | IRQ.evtq | (priq ? IRQ.priq : 0));
  enables |= CR0.smmuen;
  yield* enable('CR0', enables);
}

/** arm_smmu_probe_device for every device: its STE exists, as abort; PASIDs are on, and it is known whether it stalls. */
export function* probeDevices(h: Host): Op<void> {
  const f = featuresOf(h);
  for (const d of h.devices) {
    const sid = d.rid;
    const steAddress = yield* streamTableEntry(h, sid);
    if (steAddress === null) {
      log(h, h.ids.driver, `${d.name}: StreamID 0x${sid.toString(16)} is beyond the stream table`);
      continue;
    }
    // Without two-level CD tables the driver allows 2^10 descriptors at most.
    const ssidBits = Math.min(d.pasidBits, f.ssidBits, f.twoLevelCdTable ? 20 : 10);
    // Off until a domain wants it, whatever firmware has left.
    d.atsEnabled = false;
    if (d.pasidEnabled !== undefined) d.pasidEnabled = ssidBits > 0;
    const stallEnabled = f.stallForce || (f.stalls && (d.canStall ?? false));
    h.state.masters.push(newMaster({ name: d.name, sid, ssidBits, steAddress, stallEnabled }));
  }
}
