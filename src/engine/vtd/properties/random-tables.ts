import type { Memory } from '../../memory/index.ts';
import { type Damage, damageWord } from '../../properties/damage.ts';
import { BIT } from '../../properties/words.ts';

/**
 * Random but working tables of one requester, written with shifts alone: root and context entry, PASID directory and entry,
 * both stages for one address. Every word is remembered, so that it can be damaged afterwards.
 */

export interface Form {
  /** TTM of RTADDR_REG. */
  readonly mode: 0 | 1 | 2 | 3;
  /** PGTT, in legacy mode TT. */
  readonly type: number;
  readonly rid: number;
  /** -1: none. */
  readonly pasid: number;
  readonly ridPasid: number;
  readonly ridPriv: boolean;
  readonly pdts: number;
  readonly did: number;
  readonly fsLevels: 4 | 5;
  readonly ssLevels: 3 | 4 | 5;
  /** Levels of the leaves: first stage; second stage of the data, of the first stage's tables. */
  readonly fsLeaf: 1 | 2 | 3 | 4;
  readonly ssLeaf: 1 | 2 | 3 | 4;
  readonly tableLeaf: 1 | 2 | 3;
  /** Where guest memory lies in the host's, with both stages. */
  readonly offset: bigint;
  /** Of the input: low bits, and what stands above them. */
  readonly low: bigint;
  readonly top: 'fits' | 'high half' | 'beyond' | 'interrupts' | 'one too high';
  /** Where the data lies; interrupts: among their addresses. */
  readonly data: 'memory' | 'interrupts';
  /** FPD, DTE, PASIDE, PRE of the context entry from bit 1 on. */
  readonly contextFlags: number;
  readonly directoryFpd: boolean;
  /** Flags of the PASID entry. */
  readonly fpd: boolean;
  readonly ssee: boolean;
  readonly ssade: boolean;
  readonly pwsnp: boolean;
  readonly pgsnp: boolean;
  /** SRE, ERE, FSPM (2 bits: from fsLevels), WPE, NXE, SMEP, EAFE. */
  readonly sre: boolean;
  readonly ere: boolean;
  readonly wpe: boolean;
  readonly nxe: boolean;
  readonly smep: boolean;
  readonly eafe: boolean;
  /** Bits of the leaves and of the entries above them, address and PS aside. */
  readonly fsLeafBits: bigint;
  readonly fsTableBits: bigint;
  readonly ssLeafBits: bigint;
  readonly ssTableBits: bigint;
  /** Of the leaves under the first stage's tables. */
  readonly underBits: bigint;
  readonly damage: readonly Damage[];
}

const PAGE = 0x1000n;
/** Guest addresses of the first stage's tables, and of the data. */
const GUEST_TABLES = 0x20_0000n;
const GUEST_DATA = 0x4000_0000n;

export class TableWriter {
  readonly memory: Memory;
  readonly form: Form;
  /** Physical addresses of the words that decide. */
  readonly words: number[] = [];
  /** RTADDR_REG. */
  readonly root: bigint;
  readonly iova: bigint;
  private host = 0x1_4000_0000n;
  private guest = GUEST_TABLES;
  private ssRoot = 0n;

  constructor(memory: Memory, form: Form) {
    this.memory = memory;
    this.form = form;
    this.iova = this.chooseIova();
    if (this.hasSecond) this.ssRoot = this.page();
    const fsRoot = this.hasFirst ? this.firstStage() : 0n;
    if (this.hasSecond && !this.hasFirst) this.mapSecond(this.iova, this.dataAt(), form.ssLeaf, form.ssLeafBits);
    this.root = this.writeRoot(form.mode === 0 ? this.legacyContext() : this.context(fsRoot)) | BigInt(form.mode << 10);
    for (const d of form.damage) damageWord(memory, this.words, d);
  }

  private get hasFirst(): boolean {
    return this.form.mode !== 0 && (this.form.type === 1 || this.form.type === 3);
  }

  private get hasSecond(): boolean {
    const { mode, type } = this.form;
    return mode === 0 ? type < 2 : type === 2 || type === 3;
  }

  private chooseIova(): bigint {
    const { form } = this;
    const width = this.hasFirst ? 12 + 9 * form.fsLevels : this.hasSecond ? 12 + 9 * form.ssLevels : 52;
    // The lower half of what the first stage translates.
    const inside = form.low & (BIT(this.hasFirst ? width - 1 : width) - 1n);
    switch (form.top) {
      case 'fits':
        return inside;
      case 'high half':
        return this.hasFirst ? BIT(64) - BIT(width - 1) + inside : inside;
      case 'one too high':
        return inside | BIT(width - (this.hasFirst ? 1 : 0));
      case 'beyond':
        return inside | BIT(63);
      default:
        return 0xfee0_0000n | (inside & 0xf_ffffn);
    }
  }

  private put(at: bigint, word: bigint): void {
    const n = Number(at);
    if (!this.memory.contains(n)) return;
    this.memory.writeWord(n, word);
    if (!this.words.includes(n)) this.words.push(n);
  }

  private page(size = PAGE): bigint {
    const at = (this.host + size - 1n) & ~(size - 1n);
    this.host = at + size;
    return at;
  }

  private dataAt(): bigint {
    return this.form.data === 'interrupts' ? 0xfee0_0000n : 0x1_0000_0000n;
  }

  /** Maps an address in the second stage; tables on the way are made. */
  private mapSecond(input: bigint, output: bigint, leaf: number, bits: bigint): void {
    let table = this.ssRoot;
    for (let level = this.form.ssLevels; ; level--) {
      const low = BigInt(3 + 9 * level);
      const at = table + 8n * ((input >> low) & 511n);
      if (level <= leaf) {
        const address = (output >> low) << low;
        this.put(at, address | bits | (level > 1 ? 0x80n : 0n));
        return;
      }
      const there = this.memory.readWord(Number(at));
      if (there === 0n) this.put(at, this.page() | this.form.ssTableBits);
      table = this.memory.readWord(Number(at)) & 0xf_ffff_ffff_f000n;
    }
  }

  /** Physical address of what has a guest address; without second stage there are none. */
  private pa(gpa: bigint): bigint {
    return this.form.type === 3 ? gpa + this.form.offset : gpa;
  }

  private guestPage(): bigint {
    const at = this.guest;
    this.guest += PAGE;
    if (this.form.type === 3) this.mapSecond(at, this.pa(at), this.form.tableLeaf, this.form.underBits);
    return at;
  }

  private firstStage(): bigint {
    const { form } = this;
    const root = this.guestPage();
    let table = root;
    for (let level: number = form.fsLevels; ; level--) {
      const low = BigInt(3 + 9 * level);
      const at = this.pa(table + 8n * ((this.iova >> low) & 511n));
      if (level > form.fsLeaf) {
        table = this.guestPage();
        this.put(at, table | form.fsTableBits);
        continue;
      }
      const data = form.type === 3 ? GUEST_DATA : this.dataAt();
      // A 4 KiB page has PAT where others have PS, which is theirs.
      this.put(at, ((data >> low) << low) | form.fsLeafBits | (level > 1 ? 0x80n : 0n));
      if (form.type === 3) {
        const gpa = ((data >> low) << low) | (this.iova & (BIT(Number(low)) - 1n));
        const output = form.data === 'interrupts' ? 0xfee0_0000n : gpa + form.offset;
        this.mapSecond(gpa, output, form.ssLeaf, form.ssLeafBits);
      }
      return root;
    }
  }

  private legacyContext(): bigint {
    const { form } = this;
    const table = this.page();
    const at = table + 16n * BigInt(form.rid & 0xff);
    const pointer = form.type < 2 ? this.ssRoot : 0n;
    this.put(at, 1n | (form.fpd ? 2n : 0n) | BigInt(form.type << 2) | pointer);
    this.put(at + 8n, BigInt(form.ssLevels - 2) | (BigInt(form.did) << 8n));
    return table;
  }

  private context(fsRoot: bigint): bigint {
    const { form } = this;
    const directory = this.page(8n << BigInt(form.pdts + 7));
    const pasid = form.pasid >= 0 ? form.pasid : form.ridPasid;
    const table = this.page();
    this.put(directory + 8n * BigInt(pasid >> 6), table | 1n | (form.directoryFpd ? 2n : 0n));
    this.pasidEntry(table + 64n * BigInt(pasid & 63), fsRoot);
    const contexts = this.page();
    const at = contexts + 32n * BigInt(form.rid & 0x7f);
    this.put(at, directory | 1n | BigInt(form.contextFlags << 1) | BigInt(form.pdts << 9));
    this.put(at + 8n, BigInt(form.ridPasid) | (form.ridPriv ? BIT(20) : 0n));
    this.put(at + 16n, 0n);
    return contexts;
  }

  private pasidEntry(at: bigint, fsRoot: bigint): void {
    const { form } = this;
    const on = (flags: readonly (readonly [boolean, number])[]): bigint =>
      flags.reduce((w, [set, bit]) => (set ? w | BIT(bit) : w), 0n);
    const w0 = this.ssRoot | BigInt((form.ssLevels - 2) << 2) | BigInt(form.type << 6);
    this.put(
      at,
      w0 |
        1n |
        on([
          [form.fpd, 1],
          [form.ssee, 5],
          [form.ssade, 9],
        ]),
    ); // prettier-ignore
    this.put(
      at + 8n,
      BigInt(form.did) |
        on([
          [form.pwsnp, 23],
          [form.pgsnp, 24],
        ]) |
        (0x0007_0406n << 32n),
    );
    const flags = on([
      [form.sre, 0],
      [form.ere, 1],
      [form.wpe, 4],
      [form.nxe, 5],
      [form.smep, 6],
      [form.eafe, 7],
    ]);
    this.put(at + 16n, fsRoot | BigInt((form.fsLevels - 4) << 2) | flags);
    this.put(at + 24n, 0n);
  }

  private writeRoot(contexts: bigint): bigint {
    const { form } = this;
    const root = this.page();
    const at = root + 16n * BigInt(form.rid >> 8);
    const upper = form.mode !== 0 && (form.rid & 0x80) !== 0;
    this.put(at + (upper ? 8n : 0n), contexts | 1n);
    if (form.mode === 0) this.put(at + 8n, 0n);
    return root;
  }
}
