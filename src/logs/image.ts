/** Bytes of a dump by their addresses: what of a machine's memory the text holds. */

const PAGE = 4096;

interface Page {
  readonly words: BigUint64Array;
  /** Which words the text gives. */
  readonly known: Uint8Array;
}

export class Image {
  readonly #pages = new Map<number, Page>();

  /** Adds words at an address that is a multiple of eight. */
  add(address: number, words: readonly bigint[]): void {
    for (let i = 0; i < words.length; i++) {
      const at = address + 8 * i;
      const number = Math.floor(at / PAGE);
      let page = this.#pages.get(number);
      if (!page) this.#pages.set(number, (page = { words: new BigUint64Array(512), known: new Uint8Array(512) }));
      const k = (at % PAGE) / 8;
      page.words[k] = words[i]!;
      page.known[k] = 1;
    }
  }

  /** The word at an address, or null where the text has none. */
  word(address: number): bigint | null {
    const page = this.#pages.get(Math.floor(address / PAGE));
    const k = (address % PAGE) / 8;
    return page?.known[k] ? page.words[k]! : null;
  }

  has(address: number, bytes = 8): boolean {
    for (let i = 0; i < bytes; i += 8) if (this.word(address + i) === null) return false;
    return true;
  }

  words(address: number, count: number): bigint[] | null {
    const out: bigint[] = [];
    for (let i = 0; i < count; i++) {
      const w = this.word(address + 8 * i);
      if (w === null) return null;
      out.push(w);
    }
    return out;
  }

  /** Whether any word of the 4 KiB page is known. */
  touches(address: number): boolean {
    return this.#pages.has(Math.floor(address / PAGE));
  }

  /** First address above everything in the image. */
  get end(): number {
    let last = -1;
    for (const n of this.#pages.keys()) last = Math.max(last, n);
    return (last + 1) * PAGE;
  }

  /** Known runs in the order of their addresses. */
  *runs(): Generator<{ readonly address: number; readonly words: bigint[] }> {
    let open: { address: number; words: bigint[] } | null = null;
    for (const number of [...this.#pages.keys()].sort((a, b) => a - b)) {
      const page = this.#pages.get(number)!;
      for (let k = 0; k < 512; k++) {
        const at = number * PAGE + 8 * k;
        if (!page.known[k]) continue;
        if (open && at !== open.address + 8 * open.words.length) {
          yield open;
          open = null;
        }
        open ??= { address: at, words: [] };
        open.words.push(page.words[k]!);
      }
    }
    if (open) yield open;
  }
}

/** First free stretch of `bytes` from 1 MiB on, aligned, in whole pages that the image does not touch. */
export function freePages(image: Image, bytes: number, align = PAGE): number {
  for (let at = 0x100000; ; at += Math.max(align, PAGE)) {
    let ok = true;
    for (let page = at; page < at + bytes && ok; page += PAGE) ok = !image.touches(page);
    if (ok) return at;
  }
}
