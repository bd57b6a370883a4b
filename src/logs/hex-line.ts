/**
 * One line of a dump: numbers without a log around them, as a debugger, `crash`, QEMU's monitor, `hexdump`, `xxd`, `od` or a
 * mail shows them, with the address and the label in front if there are some.
 */

/** What a label says the numbers are. */
export type Hint =
  | 'command'
  | 'event'
  | 'page request'
  | 'ste'
  | 'cd'
  | 'l1std'
  | 'l1cd'
  | 'stage 1 table'
  | 'stage 2 table'
  | 'table'
  | VtdHint
  | null;

/** The tables and records of VT-d. */
export type VtdHint =
  | 'vtd root'
  | 'vtd context'
  | 'vtd directory'
  | 'vtd pasid'
  | 'vtd descriptor'
  | 'vtd fault'
  | 'vtd page request'
  | 'vtd interrupt'
  | 'vtd first stage'
  | 'vtd second stage';

export const isVtdHint = (hint: Hint): hint is VtdHint => hint?.startsWith('vtd ') ?? false;

export interface HexLine {
  /** In memory order, if the numbers are little-endian words (or bytes). */
  readonly bytes: readonly number[];
  /** In memory order, if the digits stand as the bytes lie (as `xxd -g8` prints). */
  readonly straight: readonly number[];
  /** What a label in front says it is. */
  readonly hint: Hint;
  /** Address or offset in front of the numbers, null without one. */
  readonly address: bigint | null;
  /** Number of the 64-bit word that a label such as `DW2:` gives, null without one. */
  readonly word: number | null;
  /** Bytes of each number. */
  readonly size: number;
}

const VTD_LABEL =
  /^[\w .#[\]()-]{0,24}\b(pasid[ _]?(?:table[ _])?entry|pte?[ _]?pasid|pasid[ _]?dir(?:ectory)?(?:[ _]entry)?|pde|context(?:[ _]entry)?|root(?:[ _]entry)?|qi(?:[ _]?desc(?:riptor)?)?|inv[ _]?desc|frcd?|fault[ _]?record|prq(?:[ _]?desc)?|irte)\b[\w .#[\]()-]{0,16}[:=]\s*(?=[0-9a-fx{[(])/i;
const LABEL =
  /^[\w .#[\]()-]{0,24}\b(cmdq?|command|evtq?|v?event|record|priq?|stes?|cds?|l1std|l1cd|vste)\b[\w .#[\]()-]{0,16}[:=]\s*(?=[0-9a-fx{[(])/i;
const OFFSET = /^(?:0x)?([0-9a-f]{4,16})(?:\s*<[^>]{0,60}>)?:\s+/i;
/** `hexdump -C`: an offset, two blanks, and bytes. */
const DUMP_OFFSET = /^([0-9a-f]{7,16})\s\s(?=(?:[0-9a-f]{2}\s{1,2}){7,15}[0-9a-f]{2}(?:\s|$))/i;
/** `hexdump`: seven digits and eight 16-bit words. `od -A x -t x8`: the offset and two 64-bit words. */
const OD_OFFSET = /^([0-9a-f]{6,16})\s+(?=(?:(?:[0-9a-f]{4}\s?){8}|[0-9a-f]{16}\s+[0-9a-f]{16})\s*$)/i;
/** `DW0: 0x..`, `DW[3] = ..`, `data[2]=..`, `ste[0] 0x..`, `word 1: ..`, `[2] 0x..` */
const WORD_LABEL =
  /^[\s{.]*(?:(dw|dword|qw|qword|word|data|ste|cd|val|d)[ _]?(?:\[[ ]?(\d)[ ]?\]|(\d))|\[[ ]?(\d)[ ]?\])\s*(?:[:=]\s*|\s+(?=0x))(?:0x)?([0-9a-f]{1,16})(?:u?ll?)?[\s,;}]*(?=$|[#/|(]|[a-z[])/i;
/** `<repeats 6 times>` behind a value of gdb. */
const REPEATS = /(\b(?:0x)?[0-9a-f]{1,16})\s*<repeats (\d{1,4}) times>/gi;

const hintOfLabel = (label: string): Hint => {
  const l = label.toLowerCase();
  if (l.startsWith('cmd') || l === 'command') return 'command';
  if (l.startsWith('pri')) return 'page request';
  if (l.startsWith('ste') || l === 'vste') return 'ste';
  if (l === 'cd' || l === 'cds') return 'cd';
  if (l === 'l1std' || l === 'l1cd') return l;
  return 'event';
};

const hintOfVtdLabel = (label: string): VtdHint => {
  const l = label.toLowerCase();
  if (l.startsWith('pasid') && l.includes('dir')) return 'vtd directory';
  if (l === 'pde') return 'vtd directory';
  if (l.includes('pasid')) return 'vtd pasid';
  if (l.startsWith('context')) return 'vtd context';
  if (l.startsWith('root')) return 'vtd root';
  if (l.startsWith('fr') || l.startsWith('fault')) return 'vtd fault';
  if (l.startsWith('prq')) return 'vtd page request';
  return l === 'irte' ? 'vtd interrupt' : 'vtd descriptor';
};

const fromHex = (s: string): number[] =>
  Array.from({ length: s.length / 2 }, (_, i) => Number.parseInt(s.slice(2 * i, 2 * i + 2), 16));

/** Little-endian bytes of a word printed as a number. */
const littleEndian = (s: string): number[] => fromHex(s).reverse();

/** Several `DW0: 0x..` on a line, or one: the words in order and the number of the first. */
function labelled(text: string): HexLine | null {
  let rest = text;
  let first = -1;
  let hint: Hint = null;
  const bytes: number[] = [];
  for (let i = 0; i < 8; i++) {
    const m = WORD_LABEL.exec(rest);
    if (!m) break;
    const index = Number(m[2] ?? m[3] ?? m[4]);
    if (index > 7 || (first >= 0 && index !== first + i)) return null;
    if (first < 0) {
      first = index;
      if (/^(ste|cd)$/i.test(m[1] ?? '')) hint = (m[1] as string).toLowerCase() as Hint;
    }
    bytes.push(...littleEndian((m[5] as string).padStart(16, '0')));
    rest = rest.slice(m[0].length);
  }
  if (first < 0 || !/^(?:[#/|(].{0,160}|[a-z][\w ,.:=-]{0,160})?$/i.test(rest)) return null;
  return { bytes, straight: bytes, hint, address: null, word: first, size: 8 };
}

/**
 * Bytes of a line that holds nothing but hexadecimal numbers (and an address, a label and printable characters), or null.
 * @param open bytes of each number of the dump that is open, 0 for none: short rests of it are read too, `0x0`, or the end
 * of `xxd -p`
 */
export function hexLine(text: string, open = 0): HexLine | null {
  const within = open > 0;
  let s = text.trim();
  if (s.length < (within ? 1 : 4) || s.length > 1600) return null;
  const words = labelled(s);
  if (words) return words;
  let hint: Hint = null;
  const own = VTD_LABEL.exec(s);
  const label = own ?? LABEL.exec(s);
  if (label) {
    hint = own ? hintOfVtdLabel(label[1] as string) : hintOfLabel(label[1] as string);
    s = s.slice(label[0].length);
  }
  // What gdb and C print in front of an array: `ste = {data = {`, `.data = {`.
  const assigned = /^(?:[\w.$>[\]-]{1,40}\s*=\s*)?\{[{\s]*(?:\.?[\w]{1,20}\s*=\s*\{[{\s]*)?/.exec(s);
  if (assigned) {
    const name = /\b(ste|cd)s?\b/i.exec(assigned[0]);
    if (name) hint = (name[1] as string).toLowerCase() as Hint;
    s = s.slice(assigned[0].length);
  }
  if (s.length < 16 && !within && hint === null) return null;
  if (!/^[0-9a-fx]/i.test(s) && !/^[{[(]/.test(s)) return null;
  s = s.replace(/\s+\|.{0,32}\|$/, '');
  const colon = OFFSET.exec(s);
  const dump = colon ? null : DUMP_OFFSET.exec(s);
  const od = colon || dump ? null : OD_OFFSET.exec(s);
  const place = colon ?? dump ?? od;
  if (place) s = s.slice(place[0].length);
  const address = place ? BigInt(`0x${place[1]}`) : null;
  // The characters that xxd and debuggers print behind two blanks are not hexadecimal numbers.
  if (colon) s = s.replace(/\s\s.{1,40}$/, (tail) => (/^[\s0-9a-fx]+$/i.test(tail) ? tail : ''));
  if (s.includes('<repeats'))
    s = s.replace(REPEATS, (_, v: string, n: string) => `${v} `.repeat(Math.min(Number(n), 64)));
  const tokens = s.split(/[\s,;{}[\]()]+/).filter((t) => t !== '');
  if (tokens.length === 0 || tokens.length > 64) return null;
  const digits = tokens.map((t) => /^(?:0x)?([0-9a-f]{1,512})(?:u?ll?)?$/i.exec(t)?.[1] ?? '');
  if (digits.some((d) => d === '')) return null;
  const prefixed = tokens.every((t) => /^0x/i.test(t));
  const numbers = numbersOf(tokens, digits, prefixed, od !== null, open, hint, address !== null);
  return numbers && { ...numbers, hint, address, word: null };
}

type Numbers = Pick<HexLine, 'bytes' | 'straight' | 'size'>;

function numbersOf(
  tokens: readonly string[],
  digits: readonly string[],
  prefixed: boolean,
  od: boolean,
  open: number,
  hint: Hint,
  placed: boolean,
): Numbers | null {
  const within = open > 0;
  const width = Math.max(...digits.map((d) => d.length));
  if (prefixed && (width > 2 || (tokens.length <= 8 && (tokens.length % 2 === 0 || within || placed)))) {
    // Numbers after 0x may lack leading zeros: sizes come from how many there are.
    const padded = digits.every((d) => d.length === 8);
    if (open >= 4 && width <= 2 * open && !padded) return sized(digits, open === 4 ? 8 : 16);
    if (width > 8 || tokens.length <= 2 || (!padded && tokens.length % 8 === 0) || (within && tokens.length === 1))
      return sized(digits, 16);
    return sized(digits, 8);
  }
  // Beside words of 64 bits people shorten one of all zeros to `0`.
  const equal = (d: string): boolean => d.length === width || (width === 16 && d === '0');
  if (!prefixed && !digits.every(equal)) return null;
  switch (width) {
    case 1:
    case 2:
      return tokens.length >= 8 || (within && placed)
        ? plain(digits.flatMap((d) => fromHex(d.padStart(2, '0'))))
        : null;
    case 4:
      if (tokens.length % 8 !== 0 && !(within && placed)) return null;
      return plain(digits.flatMap((d) => (od ? littleEndian(d) : fromHex(d))));
    case 8:
      return tokens.length % 4 === 0 || hint || (within && placed) ? sized(digits, 8) : null;
    case 16:
      return sized(digits, 16);
    default:
      // Bytes without blanks between them: one string, or the lines of `xxd -p`.
      return tokens.length === 1 && width % 2 === 0 && (width >= 32 || (within && width > 2))
        ? plain(fromHex(digits[0] as string))
        : null;
  }
}

const plain = (bytes: readonly number[]): Numbers => ({ bytes, straight: bytes, size: 1 });

function sized(digits: readonly string[], width: 8 | 16): Numbers | null {
  if (digits.some((d) => d.length > width)) return null;
  const padded = digits.map((d) => d.padStart(width, '0'));
  return { bytes: padded.flatMap(littleEndian), straight: padded.flatMap(fromHex), size: width / 2 };
}

/** What a heading line above a dump tells about it. */
export interface Heading {
  readonly hint: Hint;
  readonly sid: number | null;
  /** Where the dump's first byte lies. */
  readonly address: bigint | null;
}

const PROMPT = /^(?:\(gdb\)|\(qemu\)|crash(?:-\w{1,20})?>|=>|[$#])\s|^(?:\(gdb\)|\(qemu\)|crash>)/i;
const HEADINGS: readonly (readonly [RegExp, Hint])[] = [
  [/\bpasid[ _-]?dir/i, 'vtd directory'],
  [/\bpasid[ _-](?:table[ _-])?entr|\bpasid[ _]table\b/i, 'vtd pasid'],
  [/\bcontext[ _](?:table|entr)/i, 'vtd context'],
  [/\broot[ _](?:table|entr)/i, 'vtd root'],
  [/\b(?:invalidation|qi|iq|inv)\b.{0,12}\b(?:desc|queue|entr)|\bvt-?d desc/i, 'vtd descriptor'],
  [/\bfrcd\b|\bfault record/i, 'vtd fault'],
  [/\bprq\b|\bvt-?d page request/i, 'vtd page request'],
  [/\birtes?\b|\binterrupt remap/i, 'vtd interrupt'],
  [/\bl1[ _-]?std\b|\blevel[- ]?1 stream table|\bl1 stream/i, 'l1std'],
  [/\bl1[ _-]?cd\b|\blevel[- ]?1 (?:cd|context)/i, 'l1cd'],
  [/\bcd\b|\bcds\b|\bcd table\b|context desc/i, 'cd'],
  [/\bv?stes?\b|\bstream table\b|\bstrtab\b/i, 'ste'],
  [/\bcommands?\b|\bcmdq\b/i, 'command'],
  [/\bevents?\b|\bevtq\b|\bevent queue\b/i, 'event'],
  [/\bpri ?q(?:ueue)?\b|\bpage requests?\b/i, 'page request'],
  [/\b(?:s2|stage[- ]?2)\b.{0,30}(?:table|pgd|pte|pmd|pud|level|l[0-3]\b)|\bs2ttb\b|\bvttbr?\b/i, 'stage 2 table'],
  [/\b(?:s1|stage[- ]?1)\b.{0,30}(?:table|pgd|pte|pmd|pud|level|l[0-3]\b)|\bttb[01]\b/i, 'stage 1 table'],
  [/\b(?:first[ -](?:stage|level)|f[sl][ -]?(?:table|l[1-5]\b))|\bpml[45]\b|\bf[sl]ptptr\b/i, 'vtd first stage'],
  [/\b(?:second[ -](?:stage|level)|s[sl][ -]?(?:table|l[1-5]\b))|\bs[sl]ptptr\b/i, 'vtd second stage'],
  [
    /\b(?:page tables?|translation table|descriptors?)\b|\blevel[- ]?[0-3]\b|\b(?:pgd|pud|pmd|ptes?)\b.*[:=]$/i,
    'table',
  ],
];

/** Reads a heading such as `STE of sid 0x10 at 0x4e179200:` or `(qemu) xp /8gx 0x4e179200`, or null. */
export function heading(text: string): Heading | null {
  const s = text.trim().replace(/^(?:\/\/|\/\*|[#*;-]+)\s*/, '');
  if (s.length < 2 || s.length > 160) return null;
  const prompt = PROMPT.test(text.trim()) || /^(?:xp|x|rd|md(?:\.\w)?|hexdump|xxd|od|sudo|devmem2?)\s*[ /-]/.test(s);
  const hint = prompt ? null : (HEADINGS.find(([p]) => p.test(s))?.[1] ?? null);
  if (!prompt && hint === null) return null;
  const sid = /\b(?:sid|stream ?id|stream)\b\s*[=:#]?\s*(0x[0-9a-f]{1,8}|\d{1,8})\b/i.exec(s)?.[1];
  const at = prompt
    ? null
    : /(?:\bat|@|\bpa|\bphys(?:ical)?(?: address)?|\baddr(?:ess)?|\bipa)\s*[=:]?\s*(0x[0-9a-f]{4,16})\b/i.exec(s);
  return { hint, sid: sid === undefined ? null : Number(sid), address: at ? BigInt(at[1] as string) : null };
}
