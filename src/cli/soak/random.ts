/** Numbers from a seed: xorshift on 32 bits. The same seed gives the same soak everywhere. */
export class Random {
  private state: number;

  constructor(seed: number) {
    // Zero would stay zero.
    this.state = (Math.imul(seed, 2654435761) ^ 0x9e3779b9) | 0 || 1;
  }

  u32(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return x >>> 0;
  }

  /** 0 to n - 1. */
  below(n: number): number {
    return this.u32() % n;
  }

  /** True once in n. */
  once(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }

  /** A 64-bit word: anything, a few bits, or a small number. */
  word(): bigint {
    switch (this.below(4)) {
      case 0:
        return this.u64();
      case 1:
        return 1n << BigInt(this.below(64));
      case 2:
        return BigInt(this.below(0x1_0000));
      default:
        return (BigInt(this.below(64)) << 12n) | BigInt(this.pick([0, 1, 3, 0x7fd, 0x7ff, 0xf45, 0xf47]));
    }
  }
}
