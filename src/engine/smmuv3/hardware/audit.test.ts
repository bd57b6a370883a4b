import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { A, ATTR, B, GLOBAL, IN_HI, IN_LO, OUT_HI, OUT_LO, SHIFT, type TranslationCache } from '../../cache/index.ts';
import { Injector, runToEnd } from '../../machine/index.ts';
import { ANY_DATA, EXEC, READ, WRITE } from '../../pagetable/vmsav8.ts';
import { NO_PASID, PciDevice } from '../../pci/index.ts';
import { Trace } from '../../trace/index.ts';
import { encodeCommand } from '../layout/index.ts';
import { ATS_REQUEST, DONE, physicalFeatures, Smmu, UNTRANSLATED } from './index.ts';
import { CD, DATA, L1CD, OFFSET, S1, SID, TestMachine, VA } from './test-machine.ts';

/**
 * The audit's verdicts against what a brand-new SMMU does on the same memory: one whose caches are empty is asked what a
 * cached entry would answer.
 */
const OTHER = SID + 2;
const S2 = 0x200_0000;
const BLOCK = 0x1040_0000;
const DATA2 = DATA + 0x1000;
const COPY = 0x1800_0000;
/** A page, its neighbour, and a page in a block. */
const inputs = [VA, VA + 0x1000, VA + 0x20_0000] as const;

class Machine {
  readonly base = new TestMachine({ n1: 4, n2: 4, twoLevelSte: true, twoLevelCd: true });
  readonly devices = [SID, OTHER].map(
    (rid) => new PciDevice({ name: `d${rid}`, rid, vrid: rid, pasidBits: 16, ats: true, pri: false }),
  );
  readonly trace = new Trace();
  readonly smmu = this.create(this.devices, this.trace);
  /** Words that may change, with what they may become. */
  readonly sites: readonly (readonly [number, readonly bigint[]])[];
  private readonly fresh = this.create(this.devices, new Trace());
  private readonly empty = this.fresh.caches.save();

  constructor() {
    const m = this.base;
    const word = (at: number): bigint => m.memory.readWord(at);
    const copy = (from: number, to: number): void => m.memory.writeBytes(to, m.memory.readBytes(from, 4096));
    for (const d of this.devices) d.atsEnabled = true;
    // A second stream with the same CD table, whose SSID 1 has another ASID.
    const ste = m.steAddress;
    const ste2 = ste + (OTHER - SID) * 64;
    m.memory.writeBytes(ste2, m.memory.readBytes(ste, 64));
    const cd = CD + OFFSET;
    m.memory.writeBytes(cd + 64, m.memory.readBytes(cd, 64));
    m.write(cd + 64, (word(cd) & 0xffff_ffff_ffffn) | (2n << 48n));
    // The neighbour of the page, not global, and a block of stage 1 that is a block of stage 2.
    const leaf = m.s1Entry(3) + OFFSET;
    const middle = m.s1Entry(2) + OFFSET;
    m.mapIpa(DATA2);
    m.write(leaf + 8, BigInt(DATA2) | 0xf47n);
    m.write(leaf, word(leaf) | 0x800n);
    m.write(middle + 8, BigInt(BLOCK) | 0xf45n);
    m.s2Leaf(BLOCK);
    const block2 = this.s2Entry(BLOCK, 2);
    const pages2 = word(block2);
    for (let k = 0; k < 512; k++) m.mapIpa(BLOCK + k * 4096);
    m.write(block2, BigInt(BLOCK + OFFSET) | 0x7fdn);
    // Other tables for what points to tables: a copy, one that cuts the block into the same pages, an empty one.
    for (const page of [0, 1, 2, 3]) m.mapIpa(COPY + page * 4096);
    copy(S1 + 0x3000 + OFFSET, COPY + OFFSET);
    for (let k = 0; k < 512; k++) m.write(COPY + 0x1000 + OFFSET + k * 8, BigInt(BLOCK + k * 4096) | 0xf47n);
    copy(cd - (cd % 4096), COPY + 0x3000 + OFFSET);
    m.write(COPY + 0x3000 + OFFSET, word(cd) & ~(1n << 31n));
    const to = (at: number, low: bigint): bigint => BigInt(at) | low;
    const cdWord = (w: bigint): bigint[] => [w & ~(1n << 31n), w | (1n << 14n), w ^ (3n << 48n)];
    const steWord = (at: number): bigint[] =>
      [0n, 4n, 5n, 6n, 0x100n].map((c) => (word(at) & ~0xfn) | (c < 16n ? (c << 1n) | 1n : 0n));
    const changes: readonly (readonly [number, readonly bigint[]])[] = [
      [leaf, [0n, to(DATA2, 0xf47n), to(DATA, 0xfc7n), to(DATA, 0xb47n), to(DATA, 0xf47n), to(DATA, 0xf07n)]],
      [leaf + 8, [0n, to(DATA, 0xf47n), to(DATA2, 0xf47n) | (1n << 54n)]],
      [middle, [0n, to(COPY, 3n), word(middle) | (1n << 62n), word(middle) | (1n << 60n)]],
      [middle + 8, [0n, to(BLOCK, 0xfc5n), to(COPY + 0x1000, 3n)]],
      [COPY + 0x1000 + OFFSET + 8 * 5, [0n]],
      [m.s1Entry(0) + OFFSET, [0n]],
      [m.s2Leaf(DATA), [0n, to(DATA2 + OFFSET, 0x7ffn), to(DATA + OFFSET, 0x77fn), to(DATA + OFFSET, 0x3ffn)]],
      [m.s2Leaf(DATA2), [0n, to(DATA2 + OFFSET, 0x7bfn), to(DATA2 + OFFSET, 0x7ffn) | (3n << 53n)]],
      [m.s2Leaf(S1 + 0x3000), [0n, to(COPY + OFFSET, 0x7ffn)]],
      [m.s2Leaf(CD), [0n, to(COPY + 0x3000 + OFFSET, 0x7ffn)]],
      [block2, [0n, pages2, to(BLOCK + OFFSET + 0x20_0000, 0x7fdn)]],
      [Number(pages2 & 0xffff_ffff_f000n) + 8 * 5, [to(DATA + OFFSET, 0x7ffn)]],
      [this.s2Entry(DATA, 1), [0n]],
      [cd, cdWord(word(cd))],
      [cd + 8, [to(COPY + 0x2000, 0n)]],
      [cd + 64, cdWord(word(cd + 64))],
      [L1CD + OFFSET, [0n]],
      ...[ste, ste2].flatMap((at): [number, bigint[]][] => [
        [at, steWord(at)],
        [at + 8, [word(at + 8) & ~(3n << 28n), word(at + 8) & ~3n, (word(at + 8) & ~3n) | 1n]],
        [at + 16, [word(at + 16) + 1n]],
        [at + 24, [to(COPY + 0x2000 + OFFSET, 0n)]],
      ]),
      [0x100_0008, [0n]],
    ];
    this.sites = changes.map(([at, values]) => [at, [word(at), ...values]]);
  }

  private create(devices: readonly PciDevice[], trace: Trace): Smmu {
    const smmu = new Smmu(this.base.memory, physicalFeatures({}), devices, trace, new Injector(trace));
    smmu.regs.load(this.base.smmu.regs.save());
    smmu.translator.registersChanged();
    return smmu;
  }

  /** Address of a stage-2 descriptor of an intermediate address; the tables above it must be there. */
  private s2Entry(ipa: number, level: number): number {
    let table = S2;
    for (let l = 0; ; l++) {
      const at = table + (Math.floor(ipa / 2 ** (39 - 9 * l)) % 512) * 8;
      if (l === level) return at;
      table = Number(this.base.memory.readWord(at) & 0xffff_ffff_f000n);
    }
  }

  /** What a fresh translation gives: the address, or `permission` and the stage, or `fault`. */
  private ask(
    sid: number,
    ssid: number,
    hi: number,
    lo: number,
    need: number,
    priv: boolean,
    kind = UNTRANSLATED,
  ): string {
    this.fresh.caches.load(this.empty);
    const t = this.fresh.translator;
    const status = t.translate(sid, ssid, hi, lo, need, priv, kind);
    if (status === DONE)
      return `${(t.outHi >>> 0) * 2 ** 32 + (t.outLo >>> 0)}${kind === ATS_REQUEST ? ` ${t.granted}` : ''}`;
    return t.event === 0x13 ? `permission ${t.faultStage}` : 'fault';
  }

  /** Every access that there is, at pages spread over an entry. */
  private agrees(
    c: TranslationCache,
    i: number,
    stage2: boolean,
    ask: (lo: number, need: number, priv: boolean) => string,
  ): boolean {
    const attr = c.e[i + ATTR]!;
    const size = 2 ** c.e[i + SHIFT]!;
    for (const page of size === 4096 ? [0] : [0, 1, 5, 511])
      for (const need of [READ, WRITE, EXEC])
        for (const priv of [false, true]) {
          const execute2 = attr & (priv ? 1 << 9 : 1 << 8);
          const second = need === EXEC ? execute2 !== 0 : (attr & (need << 6)) !== 0;
          const first = stage2 || (attr & (need << (priv ? 3 : 0))) !== 0;
          const out = `${(c.e[i + OUT_HI]! >>> 0) * 2 ** 32 + (c.e[i + OUT_LO]! >>> 0) + page * 4096}`;
          if (
            ask(c.e[i + IN_LO]! + page * 4096, need, priv) !== (!first ? 'permission 1' : second ? out : 'permission 2')
          )
            return false;
        }
    return true;
  }

  /** The streams and substreams that could hit an entry of stage 1, as memory has it now. */
  private *users(c: TranslationCache, i: number): Generator<[number, number]> {
    const t = this.fresh.translator;
    for (const { rid } of this.devices) {
      // The CDs that the table has: whether one was read before does not matter.
      for (const ssid of [-1, 0, 1]) {
        this.ask(rid, ssid, c.e[i + IN_HI]!, c.e[i + IN_LO]!, 0, false);
        if (t.ste === null || t.cd === null || t.cd.bad || t.ste.vmid !== c.e[i + A]) continue;
        if (c.e[i + B] === GLOBAL || c.e[i + B] === t.cd.asid) yield [rid, ssid];
      }
    }
  }

  /** `same`, `differs` or `unreachable`. */
  expected(c: TranslationCache, i: number): string {
    const { caches } = this.smmu;
    const found: boolean[] = [];
    if (c === caches.iotlb || c === caches.s1walk) {
      for (const [sid, ssid] of this.users(c, i)) {
        const hi = c.e[i + IN_HI]!;
        if (c === caches.iotlb)
          found.push(this.agrees(c, i, false, (lo, need, priv) => this.ask(sid, ssid, hi, lo, need, priv)));
        else {
          this.ask(sid, ssid, hi, c.e[i + IN_LO]!, 0, false);
          found.push(sameStep(c, i, this.fresh.caches.s1walk));
        }
      }
    } else
      for (const { rid } of this.devices) {
        this.ask(rid, -1, 0, 0, 0, false);
        const { ste } = this.fresh.translator;
        if (ste === null || ste.bad || ste.s2 === null || ste.vmid !== c.e[i + A]) continue;
        // The stream as if it had stage 2 alone.
        const at = ste.address;
        const before = this.base.memory.readWord(at);
        this.base.memory.writeWord(at, (before & ~0xen) | (6n << 1n));
        if (c === caches.s2tlb)
          found.push(this.agrees(c, i, true, (lo, need, priv) => this.ask(rid, -1, c.e[i + IN_HI]!, lo, need, priv)));
        else {
          this.ask(rid, -1, c.e[i + IN_HI]!, c.e[i + IN_LO]!, 0, false);
          found.push(sameStep(c, i, this.fresh.caches.s2walk));
        }
        this.base.memory.writeWord(at, before);
      }
    return found.length === 0 ? 'unreachable' : found.includes(false) ? 'differs' : 'same';
  }

  expectedAtc(d: PciDevice, i: number): string {
    const { e } = d.atc;
    const pages = e[i + SHIFT] === 12 ? [0] : [0, 1, 5, 511];
    const ssid = e[i + B] === NO_PASID ? -1 : e[i + B]!;
    const same = pages.every((page) => {
      const now = this.ask(d.rid, ssid, e[i + IN_HI]!, e[i + IN_LO]! + page * 4096, ANY_DATA, false, ATS_REQUEST);
      return now === `${(e[i + OUT_HI]! >>> 0) * 2 ** 32 + (e[i + OUT_LO]! >>> 0) + page * 4096} ${e[i + ATTR]}`;
    });
    return same ? 'same' : 'differs';
  }

  /** Is the record in the caches of an SMMU that has just looked at every stream and substream? */
  expectedConfig(name: string, key: number, ssid: number, words: string): string {
    for (const { rid } of this.devices)
      for (const s of [-1, 0, 1]) {
        this.ask(rid, s, 0, VA, 0, false);
        const { caches } = this.fresh;
        const now =
          name === 'STE'
            ? caches.ste.get(key)?.words
            : name === 'CD'
              ? caches.cd.get(key)?.get(ssid)?.words
              : (name === 'L1STD' ? caches.l1std : caches.l1cd).get(key)?.word;
        if (now !== undefined && String(now) === words) return 'same';
      }
    return 'differs';
  }

  /** Every verdict of the audit beside the expected one. */
  verdicts(): { what: string; audit: string; expected: string }[] {
    const out: { what: string; audit: string; expected: string }[] = [];
    const { caches, audit } = this.smmu;
    for (const c of caches.translation())
      c.forEach((i) => {
        const what = `${c.name} ${c.e[i + A]}.${c.e[i + B]} ${(c.e[i + IN_LO]! >>> 0).toString(16)}+${c.e[i + SHIFT]}`;
        out.push({ what, audit: audit.verdict(c, i).state, expected: this.expected(c, i) });
      });
    for (const d of this.devices)
      d.atc.forEach((i) => {
        out.push({ what: `ATC ${d.name}`, audit: audit.atc(d, i).state, expected: this.expectedAtc(d, i) });
      });
    for (const e of caches.ste.values())
      out.push({
        what: `STE ${e.sid}`,
        audit: audit.config('STE', e).state,
        expected: this.expectedConfig('STE', e.sid, 0, String(e.words)),
      });
    for (const of of caches.cd.values())
      for (const e of of.values())
        out.push({
          what: `CD ${e.sid}.${e.ssid}`,
          audit: audit.config('CD', e).state,
          expected: this.expectedConfig('CD', e.sid, e.ssid, String(e.words)),
        });
    for (const [name, of] of [
      ['L1STD', caches.l1std],
      ['L1CD', caches.l1cd],
    ] as const)
      for (const e of of.values())
        out.push({
          what: `${name} ${e.key}`,
          audit: audit.config(name, e).state,
          expected: this.expectedConfig(name, e.key, 0, String(e.word)),
        });
    return out;
  }
}

function sameStep(c: TranslationCache, i: number, fresh: TranslationCache): boolean {
  const { e } = c;
  const k = fresh.find(e[i + A]!, e[i + B]!, e[i + IN_HI]!, e[i + IN_LO]!, e[i + SHIFT]!);
  return k >= 0 && [OUT_HI, OUT_LO, ATTR].every((f) => fresh.e[k + f] === e[i + f]);
}

const commands: readonly bigint[][] = [
  encodeCommand('CFGI_STE', { SID, Leaf: 1 }),
  encodeCommand('CFGI_STE_RANGE', { Range: 31 }),
  encodeCommand('CFGI_CD', { SID, SSID: 0 }),
  encodeCommand('CFGI_CD_ALL', { SID: OTHER }),
  encodeCommand('TLBI_NH_ASID', { VMID: 1, ASID: 1 }),
  encodeCommand('TLBI_NH_VA', { VMID: 1, ASID: 1, Leaf: 1, Address: BigInt(VA - (VA % 4096)) }),
  encodeCommand('TLBI_NH_VAA', { VMID: 1, Address: BigInt(inputs[2] - (inputs[2] % 4096)) }),
  encodeCommand('TLBI_S2_IPA', { VMID: 1, Leaf: 1, Address: BigInt(DATA) }),
  encodeCommand('TLBI_S2_IPA', { VMID: 1, Address: BigInt(BLOCK) }),
  encodeCommand('TLBI_S12_VMALL', { VMID: 1 }),
  encodeCommand('ATC_INV', { SID, Size: 52 }),
];

const pick = fc.nat({ max: 1000 });
const action = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('write' as const), site: pick, value: pick }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('dma' as const),
      device: fc.nat({ max: 1 }),
      pasid: fc.constantFrom(-1, -1, 1),
      input: fc.nat({ max: 2 }),
      write: fc.boolean(),
      translated: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('command' as const), which: pick }) },
);

describe('the audit against an SMMU without caches', () => {
  it('agrees on every entry after any changes of the tables, and on every entry removed', { timeout: 60_000 }, () => {
    const seen: Record<string, number> = {};
    fc.assert(
      fc.property(fc.array(action, { minLength: 5, maxLength: 40 }), (actions) => {
        const m = new Machine();
        m.trace.listener = (e) => {
          if (e.kind !== 'cache.remove') return;
          const c = m.smmu.caches.translation().find((x) => x.name === e.entry.cache);
          const d = m.devices.find((x) => e.at === `hw.device.${x.name}`);
          if (c) expect(e.valid, e.entry.cache).toBe(m.expected(c, c.indexOf(e.entry.id)) === 'same');
          if (d) expect(e.valid, e.at).toBe(m.expectedAtc(d, d.atc.indexOf(e.entry.id)) === 'same');
        };
        for (const x of actions) {
          if (x.do === 'write') {
            const [at, values] = m.sites[x.site % m.sites.length]!;
            m.base.write(at, values[x.value % values.length]!);
          } else if (x.do === 'dma')
            runToEnd(
              m.smmu.dma({
                device: m.devices[x.device]!,
                pasid: x.pasid,
                iova: BigInt(inputs[x.input]!),
                write: x.write,
                translated: x.translated,
              }),
            );
          else m.smmu.executeLate(commands[x.which % commands.length]!);
        }
        for (const v of m.verdicts()) {
          seen[v.audit] = (seen[v.audit] ?? 0) + 1;
          expect(v.audit, v.what).toBe(v.expected);
        }
      }),
      { numRuns: Number(process.env['IOMMUSCOPE_RUNS'] ?? 100) },
    );
    // The changes did matter.
    expect(seen['same']).toBeGreaterThan(100);
    expect(seen['differs']).toBeGreaterThan(100);
    expect(seen['unreachable']).toBeGreaterThan(5);
  });
});
