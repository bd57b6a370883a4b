import { type Memory, PAGE_SIZE } from '../../memory/index.ts';
import type { CdConfig, SteConfig } from './config.ts';
import type { RegisterFile } from './registers.ts';
import type { Translator } from './translator.ts';

const CD_BYTES = 64;
const CD_V = 0x8000_0000;
/** Registers that decide where configuration lies and what it means. */
const deciding = ['CR0', 'CR2', 'STRTAB_BASE', 'STRTAB_BASE_CFG'] as const;

/**
 * STEs and CDs as memory has them, read by a translator without caches. Each is decoded once for as long as memory and
 * registers stay as they are: comparing a cache with memory asks for the same few again and again.
 */
export class FreshConfig {
  private readonly memory: Memory;
  private readonly regs: RegisterFile;
  private readonly fresh: Translator;
  private generation = -1;
  private readonly registers: number[] = [];
  private readonly stes = new Map<number, SteConfig | null>();
  private readonly cds = new Map<number, Map<number, CdConfig | null>>();
  private readonly used = new Map<number, readonly number[]>();

  constructor(memory: Memory, regs: RegisterFile, fresh: Translator) {
    this.memory = memory;
    this.regs = regs;
    this.fresh = fresh;
  }

  /** To be called before each use: forgets everything if anything may have changed. */
  begin(): void {
    let same = this.generation === this.memory.generation;
    for (const [i, name] of deciding.entries()) {
      const value = this.regs.num(name);
      same &&= this.registers[i] === value;
      this.registers[i] = value;
    }
    if (same) return;
    this.generation = this.memory.generation;
    this.fresh.registersChanged();
    this.stes.clear();
    this.cds.clear();
    this.used.clear();
  }

  ste(sid: number): SteConfig | null {
    let e = this.stes.get(sid);
    if (e === undefined) this.stes.set(sid, (e = this.fresh.readSte(sid)));
    return e;
  }

  cd(ste: SteConfig, ssid: number): CdConfig | null {
    let of = this.cds.get(ste.sid);
    if (!of) this.cds.set(ste.sid, (of = new Map()));
    let e = of.get(ssid);
    if (e === undefined) of.set(ssid, (e = this.fresh.readCd(ste, ssid)));
    return e;
  }

  /**
   * SubstreamIDs of a stream whose CD is there and has V set, lowest first: any of them can be used next, whether its CD
   * is cached or not.
   */
  ssids(ste: SteConfig): readonly number[] {
    let list = this.used.get(ste.sid);
    if (!list) this.used.set(ste.sid, (list = this.valid(ste)));
    return list;
  }

  private valid(ste: SteConfig): number[] {
    const out: number[] = [];
    const all = 2 ** ste.s1CdMax;
    const each = ste.s1Fmt === 0 ? all : ste.s1Fmt === 1 ? 64 : 1024;
    for (let first = 0; first < all; first += each) {
      const table = ste.s1Fmt === 0 ? ste.contextPtr : this.level2(ste, first / each);
      if (table >= 0) this.scan(ste, table, first, Math.min(each, all - first), out);
    }
    return out;
  }

  /** Address of a level-2 CD table, -1 where there is none. */
  private level2(ste: SteConfig, index: number): number {
    const at = this.fresh.l1cdAddress(ste, index);
    if (at < 0) return -1;
    const word = this.memory.readWord(at);
    return (word & 1n) === 0n ? -1 : Number(word & (ste.s1Fmt === 1 ? 0xf_ffff_ffff_f000n : 0xf_ffff_ffff_0000n));
  }

  /** Looks at `n` CDs side by side, page by page: stage 2 may put each page elsewhere. */
  private scan(ste: SteConfig, table: number, first: number, n: number, out: number[]): void {
    for (let k = 0; k < n; ) {
      const address = table + k * CD_BYTES;
      const here = Math.min(n - k, (PAGE_SIZE - (address % PAGE_SIZE)) / CD_BYTES);
      const pa = this.fresh.cdAddress(ste, address);
      if (pa >= 0)
        for (let j = 0; j < here; j++)
          if ((this.memory.read32(pa + j * CD_BYTES) & CD_V) !== 0) out.push(first + k + j);
      k += here;
    }
  }
}
