/**
 * Makes text small: a model guesses each bit from what came before, an arithmetic coder writes only what the guess left
 * open. Deflate needs about twice as much for a document of many short steps, because it names every repetition by length
 * and distance; here a step that looks like the ones before costs little more than its addresses.
 *
 * The same on every machine for ever: links that people keep depend on it. So there are only whole numbers (doubles below
 * 2^53 included) and no function of `Math` that may be rounded differently elsewhere. To improve it, add another format
 * version; never change this one.
 */

/** Slots of each context's table, as a power of two. */
const tableBits = 16;
const contexts = 12;
/** One for each context, one for a repetition, one that is constant. */
const inputs = contexts + 2;
/** Sets of weights: by what kind of character is due, and how long a repetition is under way. */
const kinds = 6;
const weightSets = kinds * 4;
const minMatch = 5;
const hashSlots = 1 << 16;

/** 4096 / (1 + e^-x) at 33 equal steps of x from -8 to 8; between them a straight line is drawn. */
const squashPoints = [
  1, 2, 3, 6, 10, 16, 27, 45, 73, 120, 194, 310, 488, 747, 1101, 1546, 2047, 2549, 2994, 3348, 3607, 3785, 3901, 3975,
  4024, 4050, 4068, 4079, 4085, 4089, 4092, 4093, 4094,
];

function squash(x: number): number {
  if (x > 2047) return 4095;
  if (x < -2047) return 1;
  const w = x & 127;
  const i = (x >> 7) + 16;
  return (squashPoints[i]! * (128 - w) + squashPoints[i + 1]! * w + 64) >> 7;
}

/** The inverse of `squash`. */
const stretch = new Int16Array(4096);
for (let x = -2047, p = 0; x <= 2047; x++) {
  const v = squash(x);
  for (; p <= v; p++) stretch[p] = x;
}
stretch.fill(2047, squash(2047) + 1);

/** How far a guess moves to what was seen, by how often it was seen: 65536 / (n + 1.5). */
const rates = Int32Array.from({ length: 256 }, (_, n) => Math.floor(131072 / (2 * n + 3)));

const mix = (a: number, b: number): number => Math.imul(a ^ Math.imul(b + 0x7f4a7c15, 0x2c1b3c6d), 0x297a2d39) >>> 0;

/** What the model knows of the JSON that it reads: enough to tell which key's value comes, in a step of which operation. */
class Outline {
  private inText = false;
  private escaped = false;
  /** Of the text that is open, or that ended last. */
  private text = 0;
  private valueDue = false;
  private key = 0;
  private keyBefore = 0;
  private operation = 0;
  /** Characters since the value or the key began. */
  private length = 0;
  private hex = 0;
  private word = 0;
  private wordBefore = 0;
  private before = 0;

  next(c: number): void {
    this.follow(c);
    this.before = c;
  }

  private follow(c: number): void {
    const letter = (c | 32) >= 97 && (c | 32) <= 122;
    if (letter || c > 127) this.word = mix(this.word, c);
    else if (this.word !== 0) {
      this.wordBefore = this.word;
      this.word = 0;
    }
    this.length++;
    if (this.inText) {
      if (this.escaped) this.escaped = false;
      else if (c === 92) this.escaped = true;
      else if (c === 34) {
        this.inText = false;
        this.hex = 0;
        // The first key of a step names its operation.
        if (this.valueDue && this.key === doKey) this.operation = this.text;
        return;
      }
      this.text = mix(this.text, c);
      if (this.hex > 0) this.hex++;
      else if (c === 120 && this.before === 48 && this.length === 3) this.hex = 1;
      return;
    }
    if (c === 34) {
      this.inText = true;
      this.text = 0;
      this.length = 1;
    } else if (c === 58) {
      this.keyBefore = this.key;
      this.key = this.text;
      this.valueDue = true;
      this.length = 0;
      this.text = 0;
    } else if (c === 44 || c === 123 || c === 91) {
      this.valueDue = false;
      this.length = 0;
      this.text = 0;
      if (c === 123) this.keyBefore = this.key = 0;
    } else if (c !== 32) this.text = mix(this.text, c);
  }

  /** 0 between texts, 1 in a key, 2 in a short value, 3 in prose, 4 in a hexadecimal number, 5 in a bare value. */
  kind(): number {
    if (!this.inText) return this.valueDue ? 5 : 0;
    if (!this.valueDue) return 1;
    return this.hex > 0 ? 4 : this.length > 24 ? 3 : 2;
  }

  /** Writes the contexts that come from the outline. */
  contexts(out: Uint32Array, from: number, last: number): void {
    const place = mix(this.key, (this.inText ? 512 : 0) + (this.valueDue ? 256 : 0));
    out[from] = mix(mix(mix(1, this.word), this.wordBefore), last);
    out[from + 1] = mix(mix(2, place), this.text);
    out[from + 2] = mix(mix(mix(3, place), this.text), this.operation);
    out[from + 3] = mix(mix(mix(4, place), Math.min(this.length, 40)), last);
    out[from + 4] = mix(mix(mix(mix(5, place), this.keyBefore), this.operation), this.text);
    out[from + 5] = this.hex > 0 ? mix(mix(6, this.key), Math.min(this.hex, 24)) : mix(mix(7, this.word), last);
  }
}

/** Hash of the key `do`, as the outline makes it. */
const doKey = mix(mix(0, 100), 111);

/** Guesses bits. Reader and writer each have one and tell it every bit, so both always guess the same. */
class Model {
  private readonly chances = new Uint16Array(contexts << tableBits).fill(32768);
  private readonly seen = new Uint8Array(contexts << tableBits);
  private readonly weights = new Int32Array(weightSets * inputs).fill(22000);
  private readonly slots = new Int32Array(contexts);
  private readonly inputs = new Int32Array(inputs);
  private readonly context = new Uint32Array(contexts);
  private readonly outline = new Outline();
  private bytes: Uint8Array;
  private length = 0;
  /** Where the last `minMatch` bytes stood before. */
  private readonly matches = new Int32Array(hashSlots);
  private matchAt = 0;
  private matchLength = 0;
  /** How often a repetition of a length went on. */
  private readonly matchChances = new Uint16Array(64).fill(49152);
  private readonly matchSeen = new Uint8Array(64);
  private matchSlot = -1;
  private matchBit = 0;
  /** Bits of the current byte behind a leading 1. */
  private partial = 1;
  private set = 0;
  private guess = 2048;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.contextsOfByte();
    this.predict();
  }

  /** Chance of a 1, 1..4095 of 4096. */
  get chance(): number {
    return this.guess;
  }

  learn(bytes: Uint8Array): void {
    for (const b of bytes) for (let i = 7; i >= 0; i--) this.update((b >> i) & 1);
  }

  update(bit: number): void {
    const error = ((bit << 12) - this.guess) * 12;
    const w = this.set * inputs;
    for (let i = 0; i < inputs; i++) this.weights[w + i]! += (this.inputs[i]! * error + 0x8000) >> 16;
    for (let i = 0; i < contexts; i++) {
      const s = this.slots[i]!;
      const n = this.seen[s]!;
      this.chances[s]! += this.toward(bit, this.chances[s]!, n);
      if (n < (i < 2 ? 250 : 60)) this.seen[s] = n + 1;
    }
    if (this.matchSlot >= 0) {
      const n = this.matchSeen[this.matchSlot]!;
      const right = bit === this.matchBit ? 1 : 0;
      this.matchChances[this.matchSlot]! += this.toward(right, this.matchChances[this.matchSlot]!, n);
      if (n < 250) this.matchSeen[this.matchSlot] = n + 1;
      if (!right) this.matchLength = 0;
    }
    this.partial = (this.partial << 1) | bit;
    if (this.partial > 255) this.endByte();
    this.predict();
  }

  private toward(bit: number, chance: number, n: number): number {
    const goal = bit ? 65535 : 0;
    return Math.trunc(((goal - chance) * rates[n]!) / 65536);
  }

  private endByte(): void {
    const c = this.partial & 255;
    this.partial = 1;
    this.bytes[this.length++] = c;
    this.outline.next(c);
    if (this.matchLength > 0) {
      this.matchAt++;
      if (this.matchLength < 65535) this.matchLength++;
    }
    if (this.length >= minMatch) {
      let h = 0;
      for (let i = this.length - minMatch; i < this.length; i++) h = mix(h, this.bytes[i]!);
      const slot = h & (hashSlots - 1);
      if (this.matchLength === 0) {
        const at = this.matches[slot]!;
        let n = 0;
        while (n < 32 && n < at && this.bytes[at - 1 - n] === this.bytes[this.length - 1 - n]) n++;
        if (at > 0 && n >= minMatch) {
          this.matchAt = at;
          this.matchLength = n;
        }
      }
      this.matches[slot] = this.length;
    }
    this.contextsOfByte();
  }

  private contextsOfByte(): void {
    const at = (back: number): number => (this.length >= back ? this.bytes[this.length - back]! : 0);
    const c = this.context;
    const last = at(1);
    c[0] = this.outline.kind();
    c[1] = mix(11, last);
    c[2] = mix(mix(12, last), at(2));
    c[3] = mix(mix(c[2]!, 13), at(3));
    c[4] = mix(mix(c[3]!, 14), at(4));
    c[5] = mix(mix(mix(c[4]!, 15), at(5)), at(6));
    this.outline.contexts(c, 6, last);
  }

  private predict(): void {
    let sum = 0;
    for (let i = 0; i < contexts; i++) {
      const h = Math.imul(this.context[i]! + Math.imul(this.partial, 0x9e3779b1), 0x85ebca6b);
      const s = (i << tableBits) + ((h ^ (h >>> 15)) >>> (32 - tableBits));
      this.slots[i] = s;
      this.inputs[i] = this.seen[s] === 0 ? 0 : stretch[this.chances[s]! >> 4]!;
    }
    this.matchSlot = -1;
    let long = 0;
    this.inputs[contexts] = 0;
    if (this.matchLength > 0) {
      const expected = this.bytes[this.matchAt]! | 256;
      const bits = 32 - Math.clz32(this.partial);
      if (expected >> (9 - bits) === this.partial) {
        this.matchBit = (expected >> (8 - bits)) & 1;
        this.matchSlot = Math.min(this.matchLength, 63);
        const st = stretch[this.matchChances[this.matchSlot]! >> 4]!;
        this.inputs[contexts] = this.matchBit ? st : -st;
        long = this.matchLength > 24 ? 3 : this.matchLength > 10 ? 2 : 1;
      } else this.matchLength = 0;
    }
    this.inputs[contexts + 1] = 256;
    this.set = this.outline.kind() * 4 + long;
    const w = this.set * inputs;
    for (let i = 0; i < inputs; i++) sum += this.inputs[i]! * this.weights[w + i]!;
    this.guess = squash(Math.max(-2047, Math.min(2047, Math.trunc(sum / 65536))));
  }
}

/** The point of a range that parts a 0 from a 1. */
const part = (low: number, high: number, chance: number): number =>
  low + Math.floor((high - low) / 4096) * chance + Math.floor((((high - low) % 4096) * chance) / 4096);

/**
 * @param preset  text that both sides know and that looks like what will come
 * @param most    bytes that the result may have
 * @returns null when it would have more
 */
export function compress(bytes: Uint8Array, preset: Uint8Array, most: number): Uint8Array | null {
  const model = new Model(preset.length + bytes.length);
  model.learn(preset);
  const out: number[] = [];
  let low = 0;
  let high = 0xffffffff;
  for (const b of bytes)
    for (let i = 7; i >= 0; i--) {
      const bit = (b >> i) & 1;
      const mid = part(low, high, model.chance);
      if (bit) high = mid;
      else low = mid + 1;
      model.update(bit);
      while (((low ^ high) & 0xff000000) === 0) {
        out.push(high >>> 24);
        if (out.length > most) return null;
        low = (low << 8) >>> 0;
        high = ((high << 8) | 255) >>> 0;
      }
    }
  // As few bytes as name a number of the range; zeros follow in the reader.
  if (low > 0) {
    for (let bits = 24; bits >= 0; bits -= 8) {
      const unit = 2 ** bits;
      const v = Math.ceil(low / unit) * unit;
      if (v > high) continue;
      for (let s = 24; s >= bits; s -= 8) out.push(Math.floor(v / 2 ** s) & 255);
      break;
    }
  }
  while (out[out.length - 1] === 0) out.pop();
  return out.length > most ? null : Uint8Array.from(out);
}

/** @param length  bytes of the text; nothing beyond them is made, whatever the data is */
export function expand(data: Uint8Array, preset: Uint8Array, length: number): Uint8Array {
  const model = new Model(preset.length + length);
  model.learn(preset);
  const out = new Uint8Array(length);
  let low = 0;
  let high = 0xffffffff;
  let at = 0;
  let value = 0;
  for (let i = 0; i < 4; i++) value = ((value << 8) | (data[at++] ?? 0)) >>> 0;
  for (let n = 0; n < length; n++) {
    let c = 1;
    while (c < 256) {
      const mid = part(low, high, model.chance);
      const bit = value <= mid ? 1 : 0;
      if (bit) high = mid;
      else low = mid + 1;
      model.update(bit);
      c = (c << 1) | bit;
      while (((low ^ high) & 0xff000000) === 0) {
        low = (low << 8) >>> 0;
        high = ((high << 8) | 255) >>> 0;
        value = ((value << 8) | (data[at++] ?? 0)) >>> 0;
      }
    }
    out[n] = c & 255;
  }
  return out;
}
