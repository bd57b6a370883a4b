import { READ } from '../../pagetable/vmsav8.ts';
import type { SmmuFeatures } from './features.ts';
import { CR0, type RegisterFile } from './registers.ts';
import { type Translator, UNTRANSLATED } from './translator.ts';

/** Translations that one command loads at most; the SMMU limits them as it likes. */
const LIMIT = 64;

/**
 * Prefetch commands. They are hints: without the feature nothing is loaded. Whatever goes wrong goes wrong in silence.
 * Source: Arm IHI 0070, 4.2.
 */
export class Prefetcher {
  private readonly on: boolean;
  private readonly translator: Translator;
  private readonly regs: RegisterFile;

  constructor(features: SmmuFeatures, translator: Translator, regs: RegisterFile) {
    this.on = features.prefetch;
    this.translator = translator;
    this.regs = regs;
  }

  private get works(): boolean {
    return this.on && (this.regs.num('CR0') & CR0.SMMUEN) !== 0;
  }

  /** Loads STE and CD. @param ssid -1: none; it counts only where the stream has substreams */
  config(sid: number, ssid: number): void {
    const t = this.translator;
    const { caches } = t;
    if (!this.works || caches === null) return;
    const ste = t.readSte(sid);
    if (ste === null || ste.bad || !ste.s1) return;
    const index = ste.s1CdMax === 0 ? 0 : Math.max(ssid, 0);
    if (index >= 2 ** ste.s1CdMax) return;
    t.walker.caches = caches;
    t.readCd(ste, index);
    caches.commit();
  }

  /**
   * Loads STE, CD and the translations of 2^size addresses, 2^(12 + stride) bytes apart, as speculative reads would.
   * @param hi,lo first address, int32 halves
   */
  addresses(sid: number, ssid: number, hi: number, lo: number, size: number, stride: number): void {
    if (!this.works) return;
    const step = 2 ** (12 + stride);
    const stepHi = Math.floor(step / 4294967296);
    const stepLo = step % 4294967296;
    let h = hi;
    let l = lo >>> 0;
    for (let n = Math.min(2 ** size, LIMIT); n > 0; n--) {
      this.translator.translate(sid, ssid, h, l | 0, READ, false, UNTRANSLATED);
      l += stepLo;
      h = (h + stepHi + (l > 0xffffffff ? 1 : 0)) | 0;
      l %= 4294967296;
    }
  }
}
