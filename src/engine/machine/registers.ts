/**
 * Values of one unit's registers. 32-bit registers, and wider ones that never hold more, are kept as numbers, so that queues
 * move without allocation. What software may write, and what a write does, is the owner's.
 */
export class RegisterValues {
  protected readonly narrow = new Map<string, number>();
  protected readonly wide = new Map<string, bigint>();
  private readonly unit: string;

  /** @param unit what has the registers, for error texts: `SMMUv3` */
  constructor(unit: string) {
    this.unit = unit;
  }

  private unknown(name: string): RangeError {
    return new RangeError(`${this.unit} has no register ${name}`);
  }

  /** @throws RangeError when there is no register of that name */
  get(name: string): bigint {
    const n = this.narrow.get(name);
    if (n !== undefined) return BigInt(n);
    const w = this.wide.get(name);
    if (w === undefined) throw this.unknown(name);
    return w;
  }

  /** Value of a register as an unsigned number; exact for one that is kept so. */
  num(name: string): number {
    return this.narrow.get(name) ?? Number(this.get(name));
  }

  /** Stores a value, cut to the register's width, whatever software may write. */
  set(name: string, value: bigint): void {
    if (this.narrow.has(name)) this.narrow.set(name, Number(BigInt.asUintN(32, value)));
    else if (this.wide.has(name)) this.wide.set(name, BigInt.asUintN(64, value));
    else throw this.unknown(name);
  }

  /** Stores a register that is kept as a number, without a bigint. */
  setNum(name: string, value: number): void {
    this.narrow.set(name, value >>> 0);
  }

  protected saveValues(): readonly [string, number | bigint][] {
    return [...this.narrow, ...this.wide];
  }

  protected loadValues(s: readonly (readonly [string, number | bigint])[]): void {
    for (const [k, v] of s)
      if (typeof v === 'number') this.narrow.set(k, v);
      else this.wide.set(k, v);
  }
}
