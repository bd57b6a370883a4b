import { ATTR, alignHi, alignLo, type EntryData } from './entry.ts';
import type { TranslationCache } from './translation-cache.ts';

const PENDING = 64;
/** Integers a pending fill takes. */
const WIDTH = 13;

/**
 * What a request has read on its way and what will be cached when it is finished: until then it cannot hit its own steps.
 * `place` numbers the caches that the owner fills.
 */
export class PendingFills {
  count = 0;
  private readonly p = new Int32Array(PENDING * WIDTH);

  /** Notes a fill; what exceeds the buffer is not cached. */
  push(
    place: number,
    a: number,
    b: number,
    hi: number,
    lo: number,
    shift: number,
    level: number,
    granule: number,
    outHi: number,
    outLo: number,
    attr: number,
    ipaHi: number,
    ipaLo: number,
  ): void {
    if (this.count === PENDING) return;
    const { p } = this;
    let at = this.count++ * WIDTH;
    p[at++] = place;
    p[at++] = a;
    p[at++] = b;
    p[at++] = hi;
    p[at++] = lo;
    p[at++] = shift;
    p[at++] = level;
    p[at++] = granule;
    p[at++] = outHi;
    p[at++] = outLo;
    p[at++] = attr;
    p[at++] = ipaHi;
    p[at] = ipaLo;
  }

  /**
   * Puts everything in, oldest first. What is cached already stays unless its attributes differ.
   * @param caches by place
   * @param data filler of the entries; the rest is overwritten
   * @param owner told before an entry is renewed and after each fill
   */
  commit(
    caches: readonly TranslationCache[],
    data: EntryData,
    owner: { renews(): void; filled(cache: TranslationCache, index: number): void },
  ): void {
    const { p } = this;
    for (let n = 0; n < this.count; n++) {
      const at = n * WIDTH;
      const cache = caches[p[at]!]!;
      const a = p[at + 1]!;
      const b = p[at + 2]!;
      const shift = p[at + 5]!;
      const hi = alignHi(p[at + 3]!, shift);
      const lo = alignLo(p[at + 4]!, shift);
      const known = cache.find(a, b, hi, lo, shift);
      if (known >= 0 && cache.e[known + ATTR] === p[at + 10]) continue;
      if (known >= 0) owner.renews();
      data.level = p[at + 6]!;
      data.granule = p[at + 7]!;
      data.attr = p[at + 10]!;
      data.ipaHi = p[at + 11]!;
      data.ipaLo = p[at + 12]!;
      owner.filled(cache, cache.insert(a, b, hi, lo, shift, shift, p[at + 8]!, p[at + 9]!, data));
    }
    this.count = 0;
  }
}
