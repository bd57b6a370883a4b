import { registerByName } from '../layout/index.ts';
import type { SmmuFeatures } from './features.ts';

/** Registers that software cannot write. */
const readOnly = new Set([
  'IDR0',
  'IDR1',
  'IDR2',
  'IDR3',
  'IDR4',
  'IDR5',
  'IIDR',
  'AIDR',
  'CR0ACK',
  'STATUSR',
  'IRQ_CTRLACK',
  'GERROR',
]);

/** Values of one SMMU's registers, physical or emulated. Side effects belong to the owner. */
export class RegisterFile {
  private readonly values = new Map<string, bigint>();

  constructor(f: SmmuFeatures) {
    for (let i = 0; i < 6; i++) this.values.set(`IDR${i}`, BigInt(f.idr[i]!));
    this.values.set('IIDR', BigInt(f.iidr));
    this.values.set('AIDR', BigInt(f.aidr));
    // Incoming attributes pass through a disabled SMMU: SHCFG = 1.
    this.values.set('GBPA', 0x1000n);
  }

  /** @throws RangeError when there is no register of that name */
  get(name: string): bigint {
    if (!registerByName(name)) throw new RangeError(`SMMUv3 has no register ${name}`);
    return this.values.get(name) ?? 0n;
  }

  /** Number of a 32-bit register. */
  num(name: string): number {
    return Number(this.get(name));
  }

  /** Stores a value, cut to the register's width, whatever software may write. */
  set(name: string, value: bigint): void {
    const r = registerByName(name);
    if (!r) throw new RangeError(`SMMUv3 has no register ${name}`);
    this.values.set(name, BigInt.asUintN(r.width, value));
  }

  /** True when a software write has no effect. */
  isReadOnly(name: string): boolean {
    return readOnly.has(name);
  }

  save(): [string, bigint][] {
    return [...this.values];
  }

  load(s: readonly [string, bigint][]): void {
    this.values.clear();
    for (const [k, v] of s) this.values.set(k, v);
  }
}
