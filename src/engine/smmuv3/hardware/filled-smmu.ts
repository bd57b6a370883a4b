import { GLOBAL } from '../../cache/index.ts';
import { Injector } from '../../machine/index.ts';
import { Memory } from '../../memory/index.ts';
import { NO_PASID, PciDevice } from '../../pci/index.ts';
import { Trace } from '../../trace/index.ts';
import { encodeCommand } from '../layout/index.ts';
import { l1cdKey } from './caches.ts';
import { decodeCd, decodeSte } from './config.ts';
import { EL2, physicalFeatures, Smmu, type SmmuFeatures } from './index.ts';

/** Page of most entries. */
export const va = 0x10000;
export const data = { attr: 0x1ff, level: 3, granule: 12, sid: 8, ssid: -1, ipaLo: 0, ipaHi: 0 };

/** An SMMU whose caches hold a little of everything, and the names of what is left in them. */
export function filled(
  features: Record<string, boolean> = {},
  override: Partial<SmmuFeatures> = {},
): { smmu: Smmu; left: () => string[] } {
  const trace = new Trace();
  const device = (name: string, rid: number): PciDevice =>
    new PciDevice({ name, rid, vrid: rid, pasidBits: 16, ats: true, pri: false });
  const devices = [device('d8', 8), device('d9', 9)];
  const smmu = new Smmu(
    new Memory(2 ** 30),
    { ...physicalFeatures(features), ...override },
    devices,
    trace,
    new Injector(trace),
  );
  smmu.regs.set('CR0', 0xdn);
  const { iotlb, s1walk, s2tlb, s2walk } = smmu.caches;
  for (const [vmid, asid, address] of [
    [1, 1, va],
    [1, 1, va + 4096],
    [1, 2, va],
    [1, GLOBAL, va],
    [2, 1, va],
    [EL2, 1, va],
  ] as const) {
    iotlb.insert(vmid, asid, 0, address, 12, 12, 0, 0x200000, data);
    if (asid !== GLOBAL && address === va)
      for (const level of [1, 2, 3])
        s1walk.insert(vmid, asid, 0, va, 48 - 9 * level, 48 - 9 * level, 0, level << 12, { ...data, level });
  }
  iotlb.insert(1, 1, 0, 0x400000, 21, 21, 0, 0x600000, { ...data, level: 2 });
  for (const vmid of [1, 2]) {
    s2tlb.insert(vmid, 0, 0, 0x40000000, 12, 12, 0, 0x200000, data);
    s2tlb.insert(vmid, 0, 0, 0x40200000, 21, 21, 0, 0x400000, { ...data, level: 2 });
    s2walk.insert(vmid, 0, 0, 0x40000000, 30, 30, 0, 0x3000, { ...data, level: 2 });
  }
  for (const sid of [8, 9, 0x108]) {
    smmu.caches.addSte(decodeSte(new Uint32Array(16), sid, sid, 0, smmu.features));
    for (const ssid of [0, 5])
      smmu.caches.addCd(decodeCd(new Uint32Array(16), sid, ssid, sid * 10 + ssid, 0, smmu.features, false));
    smmu.caches.addL1('L1CD', { key: l1cdKey(sid, 0), uid: sid * 10 + 9, sid, address: 0, word: 1n });
  }
  for (const index of [0, 1])
    smmu.caches.addL1('L1STD', { key: index, uid: 900 + index, sid: index * 256, address: 0, word: 9n });
  for (const d of devices)
    for (const [tag, address] of [
      [NO_PASID, va],
      [NO_PASID, va + 4096],
      [5, va],
    ] as const)
      d.atc.insert(0, tag, 0, address, 12, 12, 0, 0x200000, data);
  smmu.regs.set('STRTAB_BASE_CFG', 0x10210n);
  const left = (): string[] => {
    const out: string[] = [];
    const asid = (n: number): string => (n === GLOBAL ? 'global' : `asid${n}`);
    const vmid = (n: number): string => (n === EL2 ? 'el2' : `vmid${n}`);
    const address = (lo: number): string => (lo >>> 0).toString(16);
    for (const [name, c] of [
      ['tlb', iotlb],
      ['walk', s1walk],
    ] as const)
      c.forEach((i) => {
        const at = name === 'tlb' ? address(c.e[i + 2]!) : `L${c.e[i + 6]}`;
        out.push(`${name} ${vmid(c.e[i]!)} ${asid(c.e[i + 1]!)} ${at}`);
      });
    for (const [name, c] of [
      ['s2', s2tlb],
      ['s2walk', s2walk],
    ] as const)
      c.forEach((i) => {
        out.push(`${name} ${vmid(c.e[i]!)} ${address(c.e[i + 2]!)}`);
      });
    for (const k of smmu.caches.ste.keys()) out.push(`ste ${k}`);
    for (const [sid, of] of smmu.caches.cd) for (const ssid of of.keys()) out.push(`cd ${sid}.${ssid}`);
    for (const e of smmu.caches.l1cd.values()) out.push(`l1cd ${e.sid}`);
    for (const k of smmu.caches.l1std.keys()) out.push(`l1std ${k}`);
    for (const d of devices)
      d.atc.forEach((i) => {
        out.push(`atc ${d.name} ${d.atc.e[i + 1] === NO_PASID ? 'none' : d.atc.e[i + 1]} ${address(d.atc.e[i + 2]!)}`);
      });
    return out;
  };
  return { smmu, left };
}

export function run(smmu: Smmu, name: string, fields: Record<string, number | bigint> = {}): number {
  return execute(smmu, encodeCommand(name, fields));
}

export function execute(smmu: Smmu, w: readonly bigint[]): number {
  const half = (x: bigint, s: bigint): number => Number((x >> s) & 0xffffffffn) | 0;
  return smmu.execute(half(w[0]!, 0n), half(w[0]!, 32n), half(w[1]!, 0n), half(w[1]!, 32n));
}
