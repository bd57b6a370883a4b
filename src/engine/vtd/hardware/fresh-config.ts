import type { Memory } from '../../memory/index.ts';
import type { ContextEntry, PasidEntry } from './config.ts';
import type { RemappingState } from './config-reader.ts';
import type { Translator } from './translator.ts';

/**
 * Context and PASID entries as memory has them, read by a translator without caches. Each is decoded once for as long as
 * memory and registers stay as they are: comparing a cache with memory asks for the same few again and again.
 */
export class FreshConfig {
  private readonly memory: Memory;
  private readonly state: RemappingState;
  private readonly fresh: Translator;
  private generation = -1;
  private root = -1n;
  private readonly contexts = new Map<number, ContextEntry | null>();
  private readonly pasids = new Map<number, Map<number, PasidEntry | null>>();

  constructor(memory: Memory, state: RemappingState, fresh: Translator) {
    this.memory = memory;
    this.state = state;
    this.fresh = fresh;
  }

  /** To be called before each use: forgets everything if anything may have changed. */
  begin(): void {
    const { generation } = this.memory;
    const { rootAddress } = this.state;
    if (this.generation === generation && this.root === rootAddress) return;
    this.generation = generation;
    this.root = rootAddress;
    this.fresh.registersChanged();
    this.contexts.clear();
    this.pasids.clear();
  }

  /** Null: requests of the RID would fault. */
  context(rid: number): ContextEntry | null {
    let e = this.contexts.get(rid);
    if (e === undefined) this.contexts.set(rid, (e = this.fresh.readContext(rid)));
    return e;
  }

  /** Null: requests of the RID with the PASID would fault. */
  pasid(c: ContextEntry, pasid: number): PasidEntry | null {
    let of = this.pasids.get(c.rid);
    if (!of) this.pasids.set(c.rid, (of = new Map()));
    let e = of.get(pasid);
    if (e === undefined) of.set(pasid, (e = this.fresh.readPasid(c, pasid)));
    return e;
  }

  /**
   * Addresses of the words that lead a request to its page tables, as far as the pointers go, whether or not the entries are
   * present: what is not there any more was taken away by a write to one of them.
   */
  way(rid: number, pasid: number): number[] {
    const out: number[] = [];
    const word = (at: number): bigint => {
      out.push(at);
      return this.memory.contains(at, 8) ? this.memory.readWord(at) : 0n;
    };
    const pointer = (w: bigint): number => Number((w & 0xf_ffff_ffff_ffffn) >> 12n) * 4096;
    const scalable = ((this.state.rootAddress >> 10n) & 3n) === 1n;
    const upper = scalable && (rid & 0x80) !== 0;
    const table = pointer(word(pointer(this.state.rootAddress) + ((rid >> 8) & 0xff) * 16 + (upper ? 8 : 0)));
    if (table === 0) return out;
    const at = table + (scalable ? (rid & 0x7f) * 32 : (rid & 0xff) * 16);
    const context = word(at);
    word(at + 8);
    if (!scalable || pointer(context) === 0) return out;
    const entries = pointer(word(pointer(context) + (pasid >> 6) * 8));
    if (entries !== 0) for (let i = 0; i < 8; i++) word(entries + (pasid & 63) * 64 + 8 * i);
    return out;
  }
}
