import { fieldOf, getField, setField } from '../../bits/index.ts';
import { addressSizeBits } from '../hardware/features.ts';
import { registerByName } from '../layout/index.ts';

/** The emulated register file by architectural name; values are what a read returns. */
export type Registers = Record<string, bigint>;

/** Bits of CR0 and GERROR that the model looks at. */
export const CR0 = { smmuen: 1n, eventqen: 4n, cmdqen: 8n } as const;
export const IRQ = { gerror: 1n, evtq: 4n } as const;
export const GERROR = { cmdq: 1n, evtqAbort: 4n } as const;
export const GBPA = { abort: 1n << 20n, update: 1n << 31n } as const;
/** SMMU_CR0_RESERVED of the model: CR0ACK repeats the other bits. */
const CR0_KNOWN = 0x3dfn;
const QUEUE_LOG2 = 19n;

/** Registers that a write changes; all others ignore writes and, unless set at reset, read as zero. */
const writable = new Set([
  'CR0',
  'CR1',
  'CR2',
  'IRQ_CTRL',
  'GERRORN',
  'GBPA',
  'GERROR_IRQ_CFG0',
  'GERROR_IRQ_CFG1',
  'GERROR_IRQ_CFG2',
  'STRTAB_BASE',
  'STRTAB_BASE_CFG',
  'CMDQ_BASE',
  'CMDQ_PROD',
  'CMDQ_CONS',
  'EVENTQ_BASE',
  'EVENTQ_PROD',
  'EVENTQ_CONS',
  'EVENTQ_IRQ_CFG0',
  'EVENTQ_IRQ_CFG1',
  'EVENTQ_IRQ_CFG2',
]);

export const isWritable = (reg: string): boolean => writable.has(reg);

/** Properties of `-device arm-smmuv3,accel=on`; `auto` takes what the first device's SMMU has. */
export interface VmmProperties {
  readonly ats?: 'auto' | 'on' | 'off';
  readonly ril?: 'auto' | 'on' | 'off';
  /** Output address bits. */
  readonly oas?: 'auto' | 44 | 48;
  /** SubstreamID bits, 0 to 20. */
  readonly ssidsize?: 'auto' | number;
}

const OAS_44 = 4n;
const OAS_48 = 5n;

/**
 * ID registers of QEMU's stage-1 model before a device has settled the `auto` properties (hw/arm/smmuv3.c
 * smmuv3_init_id_regs, smmuv3_accel_idr_override): RIL on, ATS and SubstreamIDs off, 44-bit output unless a property says so.
 */
export function idRegisters(p: VmmProperties = {}): Registers {
  const ssid = typeof p.ssidsize === 'number' ? BigInt(p.ssidsize) : 0n;
  return {
    IDR0: 0x0d44101an | (p.ats === 'on' ? 1n << 10n : 0n),
    IDR1: 0x02730000n | (ssid << 6n) | 0x10n,
    IDR2: 0n,
    IDR3: p.ril === 'off' ? 0x1004n : 0x1404n,
    IDR4: 0n,
    IDR5: 0x70n | (p.oas === 48 ? OAS_48 : OAS_44),
    IIDR: 0n,
    AIDR: 1n,
  };
}

/** Everything else at reset (smmuv3_reset). Registers that the model does not reset keep their value. */
export function resetRegisters(r: Registers): void {
  const keep = (name: string): bigint => r[name] ?? 0n;
  for (const name of ['CR0', 'CR0ACK', 'IRQ_CTRL', 'GERROR', 'GERRORN', 'STATUSR']) r[name] = 0n;
  for (const name of ['CMDQ_PROD', 'CMDQ_CONS', 'EVENTQ_PROD', 'EVENTQ_CONS']) r[name] = 0n;
  for (const name of ['CMDQ_BASE', 'EVENTQ_BASE']) r[name] = (keep(name) & ~31n) | QUEUE_LOG2;
  r['GBPA'] = 0x1000n;
}

export function readRegister(r: Registers, reg: string): bigint {
  return r[reg === 'IRQ_CTRLACK' ? 'IRQ_CTRL' : reg] ?? 0n;
}

/** IDR1.SSIDSIZE: bits of a SubstreamID that the guest may use. */
export const ssidBits = (r: Registers): number => field(r, 'IDR1', 'SSIDSIZE');

/** Stores a written value with the register's width; the side effects are the caller's. */
export function storeRegister(r: Registers, reg: string, value: bigint): void {
  const width = registerByName(reg)?.width ?? 32;
  const v = BigInt.asUintN(width, value);
  r[reg] = v;
  if (reg === 'CR0') r['CR0ACK'] = v & CR0_KNOWN;
}

/** A ring of the model: base address in guest memory, log2 of its entries. */
export function ringOf(r: Registers, queue: 'CMDQ' | 'EVENTQ'): { base: number; log2size: number } {
  const base = r[`${queue}_BASE`] ?? 0n;
  const log2 = base & 31n;
  return { base: Number(base & 0xfffffffffffe0n), log2size: Number(log2 > QUEUE_LOG2 ? QUEUE_LOG2 : log2) };
}

const field = (r: Registers, reg: string, name: string): number =>
  Number(getField(fieldOf(registerByName(reg)!.layout, name), [r[reg] ?? 0n]));

function copyField(to: Registers, from: Registers, reg: string, name: string): void {
  const words = [to[reg] ?? 0n];
  setField(fieldOf(registerByName(reg)!.layout, name), words, BigInt(field(from, reg, name)));
  to[reg] = words[0]!;
}

/**
 * Takes the `auto` properties from the first device's SMMU (smmuv3_accel_auto_finalise).
 * @param stalls policy `pageFaults: forwarded`: the vSMMU stalls as the SMMU does (QEMU: never, STALL_MODEL stays 1)
 */
export function finaliseAuto(r: Registers, host: Registers, p: VmmProperties = {}, stalls = false): void {
  if ((p.ats ?? 'auto') === 'auto') copyField(r, host, 'IDR0', 'ATS');
  if ((p.ril ?? 'auto') === 'auto') copyField(r, host, 'IDR3', 'RIL');
  if ((p.ssidsize ?? 'auto') === 'auto') copyField(r, host, 'IDR1', 'SSIDSIZE');
  if (p.oas === 'auto') r['IDR5'] = (r['IDR5']! & ~7n) | (field(host, 'IDR5', 'OAS') >= 5 ? OAS_48 : OAS_44);
  if (stalls) copyField(r, host, 'IDR0', 'STALL_MODEL');
}

/**
 * Whether the physical SMMU can stand behind the model (smmuv3_accel_check_hw_compatible).
 * @returns '' or the model's error message
 */
export function incompatibility(r: Registers, host: Registers): string {
  const h = (reg: string, name: string): number => field(host, reg, name);
  const q = (reg: string, name: string): number => field(r, reg, name);
  if (h('IDR0', 'ST_LEVEL') !== q('IDR0', 'ST_LEVEL'))
    return `Host SMMUv3 Stream Table format mismatch (host STLEVEL=${h('IDR0', 'ST_LEVEL')}, QEMU STLEVEL=${q('IDR0', 'ST_LEVEL')})`;
  if (h('IDR0', 'TTENDIAN') > q('IDR0', 'TTENDIAN'))
    return "Host SMMUv3 doesn't support Little-endian translation table";
  if (h('IDR0', 'TTF') < q('IDR0', 'TTF')) return "Host SMMUv3 doesn't support AArch64 translation table format";
  for (const size of ['SIDSIZE', 'SSIDSIZE'])
    if (h('IDR1', size) < q('IDR1', size))
      return `Host SMMUv3 ${size} not compatible (host=${h('IDR1', size)}, QEMU=${q('IDR1', size)})`;
  if (h('IDR3', 'RIL') < q('IDR3', 'RIL')) return "Host SMMUv3 doesn't support Range Invalidation";
  const bits = (code: number): number => addressSizeBits[code] ?? 0;
  if (h('IDR5', 'OAS') < q('IDR5', 'OAS'))
    return `Host SMMUv3 supports only ${bits(h('IDR5', 'OAS'))}-bit IPA, but the vSMMU OAS implies ${bits(q('IDR5', 'OAS'))}-bit IPA`;
  if (h('IDR0', 'ATS') < q('IDR0', 'ATS')) return "Host SMMUv3 doesn't support Address Translation Services";
  for (const [name, size] of [
    ['GRAN4K', '4K'],
    ['GRAN16K', '16K'],
    ['GRAN64K', '64K'],
  ] as const)
    if (h('IDR5', name) !== q('IDR5', name)) return `Host SMMUv3 doesn't support ${size} translation granule`;
  return '';
}
