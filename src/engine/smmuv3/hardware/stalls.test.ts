import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fieldOf, type Layout, setField } from '../../bits/index.ts';
import { runToEnd } from '../../machine/index.ts';
import type { MemorySnapshot } from '../../memory/memory.ts';
import type { DmaOutcome } from '../../pci/index.ts';
import { PciDevice } from '../../pci/index.ts';
import type { TraceEvent } from '../../trace/index.ts';
import { cdLayout, decodeEvent, encodeCommand, steLayout } from '../layout/index.ts';
import { CD, DATA, OFFSET, SID, TestMachine, VA, withIdr } from './test-machine.ts';

const EVTQ = 0x300_0000;
const CMDQ = 0x310_0000;

interface Setup {
  readonly stallModel?: number;
  readonly termModel?: number;
  readonly stallMax?: number;
  readonly ste?: Readonly<Record<string, number | bigint>>;
  readonly cd?: Readonly<Record<string, number | bigint>>;
  readonly canStall?: boolean;
  readonly others?: readonly PciDevice[];
}

/** A nested stream whose device can stall. */
class Stalling {
  readonly m: TestMachine;
  private prod = 0;

  constructor(s: Setup = {}) {
    this.m = new TestMachine({
      n1: 4,
      n2: 4,
      twoLevelSte: false,
      twoLevelCd: false,
      ste: { EATS: 0, ...s.ste },
      cd: { S: 1, ...s.cd },
      device: { stall: s.canStall ?? true },
      others: s.others ?? [],
      override: withIdr({
        IDR0: { STALL_MODEL: s.stallModel ?? 0, TERM_MODEL: s.termModel ?? 0 },
        IDR5: { STALL_MAX: s.stallMax ?? 16 },
      }),
    });
  }

  set(name: string, value: number): void {
    runToEnd(this.m.smmu.writeRegister(name, BigInt(value >>> 0)));
  }

  reg(name: string): number {
    return Number(this.m.smmu.readRegister(name));
  }

  /** Takes the leaf of stage 1 or 2, or that of the CD's page, away. */
  break(where: 'S1' | 'S2' | 'CD'): void {
    if (where === 'S1') this.m.write(this.m.s1Entry(3) + OFFSET, 0n);
    else this.m.write(this.m.s2Leaf(where === 'S2' ? DATA : CD), 0n);
  }

  mend(): void {
    this.m.write(this.m.s1Entry(3) + OFFSET, BigInt(DATA) | 0xf47n);
    this.m.mapIpa(DATA);
    this.m.mapIpa(CD);
  }

  post(name: string, fields: Record<string, number> = {}): void {
    this.m.put(CMDQ + (this.prod % 8) * 16, encodeCommand(name, fields));
    this.prod = (this.prod + 1) % 16;
    this.set('CMDQ_PROD', this.prod);
  }

  /** Sets fields of a record in memory. */
  fields(layout: Layout, at: number, values: Record<string, number>): void {
    const words = Array.from({ length: layout.words }, (_, i) => this.m.memory.readWord(at + 8 * i));
    for (const [name, v] of Object.entries(values)) setField(fieldOf(layout, name), words, BigInt(v));
    this.m.put(at, words);
  }

  resume(stag: number, how: { Ac?: number; Ab?: number } = { Ac: 1 }, sid = SID): void {
    this.post('RESUME', { SID: sid, STAG: stag, ...how });
  }

  event(i: number): Record<string, bigint> {
    const words = Array.from({ length: 4 }, (_, k) => this.m.memory.readWord(EVTQ + i * 32 + k * 8));
    return decodeEvent(words);
  }

  get stags(): number[] {
    return this.m.smmu.stalled().map((s) => s.stag);
  }
}

/** What sections 3.12, 3.12.5 and 5.5 say of one configuration, written from their tables. */
function expected(c: Case): 'C_BAD_STE' | 'C_BAD_CD' | 'stall' | 'abort' | 'raz' {
  if (c.stallD === 1 && c.model !== 0) return 'C_BAD_STE';
  if ((c.model === 1 && c.s2s === 1) || (c.model === 2 && c.s2s === 0)) return 'C_BAD_STE';
  if (c.at === 'CD') return c.s2s === 1 && can(c) ? 'stall' : 'abort';
  if (c.model === 0 && c.stallD === 1 && c.s === 1) return 'C_BAD_CD';
  if ((c.model === 1 && c.s === 1) || (c.model === 2 && c.s === 0)) return 'C_BAD_CD';
  if (c.term === 1 && c.a === 0) return 'C_BAD_CD';
  if (c.at === 'S2') return c.s2s === 1 && can(c) ? 'stall' : 'abort';
  if (c.s === 1) return can(c) ? 'stall' : 'abort';
  return c.a === 1 ? 'abort' : 'raz';
}

/** Where stalling is forced, every device's transactions stall. */
const can = (c: Case): boolean => c.device || c.model === 2;

interface Case {
  readonly model: number;
  readonly term: number;
  readonly at: 'S1' | 'S2' | 'CD';
  readonly stallD: number;
  readonly s: number;
  readonly a: number;
  readonly r: number;
  readonly s2s: number;
  readonly s2r: number;
  readonly device: boolean;
}

const bit = [0, 1];
function* everyCase(): Generator<Case> {
  for (const model of [0, 1, 2])
    for (const term of bit)
      for (const at of ['S1', 'S2', 'CD'] as const)
        for (const stallD of bit)
          for (const s of bit)
            for (const a of bit)
              for (const r of bit)
                for (const s2s of bit)
                  for (const s2r of bit)
                    for (const device of [false, true]) yield { model, term, at, stallD, s, a, r, s2s, s2r, device };
}

describe('the fault models, Arm IHI 0070 3.12, 5.5', () => {
  it('give each configuration what the tables say', () => {
    const machines = new Map<string, { d: Stalling; smmu: unknown; memory: MemorySnapshot }>();
    for (const c of everyCase()) {
      const key = `${c.model} ${c.term} ${c.device}`;
      let kept = machines.get(key);
      if (!kept) {
        const d = new Stalling({ stallModel: c.model, termModel: c.term, canStall: c.device });
        machines.set(key, (kept = { d, smmu: d.m.smmu.save(), memory: d.m.memory.save() }));
      }
      const { d } = kept;
      d.m.smmu.load(kept.smmu);
      d.m.memory.load(kept.memory);
      d.fields(steLayout, d.m.steAddress, { S1STALLD: c.stallD, S2S: c.s2s, S2R: c.s2r });
      d.fields(cdLayout, CD + OFFSET, { S: c.s, A: c.a, R: c.r });
      d.break(c.at);
      const want = expected(c);
      const r = d.m.dma();
      const about = JSON.stringify(c);
      expect(r.ok, about).toBe(false);
      if (want === 'C_BAD_STE' || want === 'C_BAD_CD') {
        expect(r.fault?.name, about).toBe(want);
        continue;
      }
      expect(r.fault?.name, about).toBe('F_TRANSLATION');
      expect([r.stag !== undefined, r.raz ?? false], about).toEqual([want === 'stall', want === 'raz']);
      expect(d.stags.length, about).toBe(want === 'stall' ? 1 : 0);
      // R suppresses only what was configured to terminate.
      const configured = c.at === 'S1' ? c.s : c.s2s;
      const recorded = configured === 1 || (c.at === 'S1' ? c.r : c.s2r) === 1;
      expect(d.reg('EVENTQ_PROD'), about).toBe(recorded ? 1 : 0);
      if (recorded) expect(d.event(0)['Stall'], about).toBe(want === 'stall' ? 1n : 0n);
    }
  });

  it('only the four translation-related faults stall', () => {
    // The last stage-1 table lies beyond memory.
    const e = new Stalling({ ste: { S2S: 1 } });
    e.m.write(e.m.s2Leaf(e.m.s1Entry(3)), 0x7fff_ffff_f7ffn);
    expect(e.m.dma()).toMatchObject({ fault: { name: 'F_WALK_EABT' } });
    expect(e.stags).toEqual([]);
    const f = new Stalling({ cd: { AFFD: 0 } });
    f.m.write(f.m.s1Entry(3) + OFFSET, BigInt(DATA) | 0xb47n);
    expect(f.m.dma()).toMatchObject({ stag: 0, fault: { name: 'F_ACCESS' } });
    f.m.write(f.m.s1Entry(3) + OFFSET, BigInt(DATA) | 0xfc7n);
    expect(f.m.dma(true)).toMatchObject({ stag: 1, fault: { name: 'F_PERMISSION' } });
  });

  it('an address out of range in stage-1 bypass ends in an abort, whatever S says', () => {
    const d = new Stalling({ ste: { S1CDMax: 4, S1DSS: 1, S2S: 1 } });
    expect(d.m.access({ iova: 1n << 60n })).toMatchObject({ ok: false, fault: { name: 'F_ADDR_SIZE' } });
    expect(d.stags).toEqual([]);
  });

  it('translation requests never stall', () => {
    const d = new Stalling({ ste: { EATS: 1 } });
    d.break('S1');
    expect(d.m.access({ translated: true })).toMatchObject({ ok: false });
    expect([d.stags.length, d.reg('EVENTQ_PROD')]).toEqual([0, 0]);
  });
});

describe('a stalled transaction', () => {
  it('is described by its record: Stall 127-64 bit 31, STAG in bits 79:64', () => {
    const d = new Stalling();
    d.break('S1');
    expect(d.m.dma(true)).toMatchObject({ ok: false, pa: -1, stag: 0 });
    expect(d.m.dma(false).stag).toBe(1);
    expect(d.m.memory.readWord(EVTQ + 8) & 0x8000_ffffn).toBe(0x8000_0000n);
    expect(d.m.memory.readWord(EVTQ + 40) & 0x8000_ffffn).toBe(0x8000_0001n);
    expect(d.event(0)).toMatchObject({ EventID: 0x10n, Stall: 1n, STAG: 0n, RnW: 0n, S2: 0n, CLASS: 2n, SID: 0x108n });
    expect(d.m.smmu.stalled()).toMatchObject([
      {
        stag: 0,
        device: 'd',
        sid: SID,
        pasid: -1,
        iova: BigInt(VA),
        access: 'write',
        event: 'F_TRANSLATION',
        recorded: true,
      },
      { stag: 1, access: 'read' },
    ]);
    expect(d.m.smmu.irq.evtq).toBe(true);
  });

  it('retries as if it had just arrived', () => {
    const d = new Stalling();
    d.break('S1');
    const { stag } = d.m.dma(true);
    expect(d.m.smmu.outcomeOf(stag!)).toBeNull();
    d.mend();
    d.resume(stag!);
    expect(d.stags).toEqual([]);
    expect(d.m.smmu.outcomeOf(stag!)).toMatchObject({ ok: true, pa: OFFSET + DATA + (VA & 0xfff), hit: 'walk' });
    expect(d.reg('EVENTQ_PROD')).toBe(1);
  });

  it('faults again with a record of its own, and ends where the configuration ends it now', () => {
    const d = new Stalling();
    d.break('S1');
    d.m.dma();
    d.resume(0);
    expect([d.stags, d.reg('EVENTQ_PROD'), d.m.smmu.outcomeOf(0)]).toEqual([[0], 2, null]);
    // A new configuration: faults are terminated.
    d.m.write(CD + OFFSET, d.m.memory.readWord(CD + OFFSET) & ~(1n << 44n));
    d.post('CFGI_CD', { SID, Leaf: 1 });
    d.resume(0);
    expect(d.stags).toEqual([]);
    expect(d.m.smmu.outcomeOf(0)).toMatchObject({ ok: false, fault: { name: 'F_TRANSLATION' } });
    expect(d.event(2)['Stall']).toBe(0n);
  });

  it('is found by StreamID and tag together', () => {
    const d = new Stalling();
    d.break('S1');
    d.m.dma();
    d.mend();
    d.resume(0, { Ac: 1 }, SID + 1);
    d.resume(1);
    expect([d.stags, d.reg('CMDQ_CONS')]).toEqual([[0], 2]);
  });

  it('is ended with an abort or as RAZ/WI, as Ab and TERM_MODEL have it, 4.7.1', () => {
    const ended = (termModel: number, Ab: number): DmaOutcome | null => {
      const d = new Stalling({ termModel });
      d.break('S1');
      d.m.dma();
      d.resume(0, { Ac: 0, Ab });
      return d.m.smmu.outcomeOf(0);
    };
    expect(ended(0, 0)).toMatchObject({ ok: false, raz: true });
    for (const [t, ab] of [
      [0, 1],
      [1, 0],
      [1, 1],
    ] as const) {
      expect(ended(t, ab)?.ok).toBe(false);
      expect(ended(t, ab)?.raz).toBeUndefined();
    }
  });

  it('is ended by CMD_STALL_TERM of its stream, not of another, 4.7.2', () => {
    const d = new Stalling();
    d.break('S1');
    d.m.dma();
    d.m.dma();
    d.post('STALL_TERM', { SID: SID + 1 });
    expect(d.stags).toEqual([0, 1]);
    d.post('STALL_TERM', { SID });
    expect(d.stags).toEqual([]);
    expect([d.m.smmu.outcomeOf(0)?.ok, d.m.smmu.outcomeOf(1)?.raz]).toEqual([false, undefined]);
    expect(d.reg('EVENTQ_PROD')).toBe(2);
  });

  it('is aborted when translation is switched off, and its tag is free again, 6.3.9.6', () => {
    const d = new Stalling();
    d.break('S1');
    d.m.dma();
    d.set('CR0', 0x1c);
    expect([d.stags, d.m.smmu.outcomeOf(0)?.ok]).toEqual([[], false]);
    d.set('CR0', 0x1d);
    expect(d.m.dma().stag).toBe(0);
  });

  it('waits through save and load', () => {
    const d = new Stalling();
    d.break('S1');
    d.m.dma(true);
    d.m.dma();
    d.resume(1, { Ac: 0, Ab: 1 });
    const state = structuredClone(d.m.smmu.save());
    const other = new Stalling();
    other.m.smmu.load(state);
    expect(other.m.smmu.stalled()).toEqual(d.m.smmu.stalled());
    expect(other.m.smmu.outcomeOf(1)).toEqual(d.m.smmu.outcomeOf(1));
    expect(other.m.smmu.save()).toEqual(state);
    runToEnd(other.m.smmu.writeRegister('CR0', 0x15n));
    other.m.smmu.executeLate(encodeCommand('RESUME', { SID, STAG: 0, Ac: 1 }));
    expect(other.m.smmu.outcomeOf(0)).toMatchObject({ ok: true });
  });

  it('is not in a snapshot that was taken before', () => {
    const d = new Stalling();
    d.break('S1');
    d.m.dma();
    const state = d.m.smmu.save();
    d.m.dma();
    d.m.smmu.load(state);
    expect(d.stags).toEqual([0]);
  });

  it('says so in the trace', () => {
    const d = new Stalling();
    const seen: TraceEvent[] = [];
    d.break('S1');
    d.m.trace.listener = (e) => seen.push(e);
    d.m.dma();
    d.resume(0, { Ac: 0, Ab: 1 });
    const of = seen.filter((e) => e.kind === 'stall' || e.kind === 'resume' || e.kind === 'fault');
    expect(of.map((e) => e.kind)).toEqual(['fault', 'stall', 'resume']);
    expect(of[2]).toMatchObject({ stag: 0, action: 'abort', device: 'd' });
    expect(seen.some((e) => e.kind === 'dma.abort')).toBe(true);
  });
});

describe('RESUME and STALL_TERM', () => {
  it('are illegal without the stall model, 4.7', () => {
    for (const name of ['RESUME', 'STALL_TERM']) {
      const d = new Stalling({ stallModel: 1, cd: { S: 0 } });
      d.post(name, { SID });
      expect(d.reg('CMDQ_CONS')).toBe(0x0100_0000);
    }
    const d = new Stalling({ stallModel: 2, ste: { S2S: 1 } });
    d.post('RESUME', { SID });
    expect(d.reg('CMDQ_CONS')).toBe(1);
  });
});

describe('the record of a stall is never lost, 7.2.1, 7.4', () => {
  const full = (): Stalling => {
    const d = new Stalling();
    d.break('S1');
    // 32 entries; the queue is full.
    d.set('CR0', 0x19);
    d.set('EVENTQ_PROD', 32);
    d.set('CR0', 0x1d);
    return d;
  };

  it('waits for room, without an overflow', () => {
    const d = full();
    expect(d.m.dma()).toMatchObject({ ok: false, stag: 0 });
    expect(d.m.smmu.stalled()).toMatchObject([{ recorded: false }]);
    expect(d.reg('EVENTQ_PROD')).toBe(32);
    // RESUME of what nobody was told does nothing.
    d.resume(0, { Ac: 0, Ab: 1 });
    expect(d.stags).toEqual([0]);
    d.set('EVENTQ_CONS', 1);
    expect(d.reg('EVENTQ_PROD')).toBe(33);
    expect(d.event(0)).toMatchObject({ Stall: 1n, STAG: 0n });
    expect(d.m.smmu.stalled()).toMatchObject([{ recorded: true }]);
  });

  it('and is not tried again before there is room', () => {
    const d = full();
    d.m.dma();
    const seen: string[] = [];
    d.m.trace.listener = (e) => seen.push(e.kind);
    d.set('CR0', 0x1d);
    d.set('EVENTQ_CONS', 0);
    d.set('CR0', 0x19);
    d.set('EVENTQ_CONS', 1);
    expect(seen.filter((k) => k !== 'register.write')).toEqual([]);
    // An abort that nobody has acknowledged keeps the queue closed too.
    runToEnd(d.m.smmu.writeRegister('EVENTQ_BASE', 0xffff_ffff_0005n));
    d.set('CR0', 0x1d);
    expect(d.reg('GERROR')).toBe(4);
    seen.length = 0;
    d.set('EVENTQ_CONS', 2);
    expect(seen).toEqual(['register.write']);
  });

  it('while a record of a terminated transaction is lost and flags it', () => {
    const d = full();
    d.m.write(CD + OFFSET, d.m.memory.readWord(CD + OFFSET) & ~(1n << 44n));
    d.m.dma();
    expect(d.reg('EVENTQ_PROD')).toBe((0x8000_0000 | 32) >>> 0);
    d.set('EVENTQ_CONS', 1);
    expect(d.reg('EVENTQ_PROD')).toBe((0x8000_0000 | 32) >>> 0);
  });

  it('waits for EVENTQEN, and for the acknowledgement of an aborted write', () => {
    const d = new Stalling();
    d.break('S1');
    d.set('CR0', 0x19);
    d.m.dma();
    expect(d.reg('EVENTQ_PROD')).toBe(0);
    d.set('CR0', 0x1d);
    expect(d.reg('EVENTQ_PROD')).toBe(1);
    const e = new Stalling();
    e.break('S1');
    e.set('CR0', 0x19);
    runToEnd(e.m.smmu.writeRegister('EVENTQ_BASE', 0xffff_ffff_0005n));
    e.set('CR0', 0x1d);
    e.m.dma();
    expect(e.reg('GERROR') ^ e.reg('GERRORN')).toBe(4);
    expect(e.m.smmu.stalled()).toMatchObject([{ recorded: false }]);
    e.set('CR0', 0x19);
    e.set('EVENTQ_BASE', EVTQ | 5);
    e.set('CR0', 0x1d);
    expect(e.reg('EVENTQ_PROD')).toBe(0);
    e.set('GERRORN', e.reg('GERROR'));
    expect(e.reg('EVENTQ_PROD')).toBe(1);
  });

  it('is not written when the transaction can go on by then', () => {
    const d = full();
    d.m.dma();
    d.mend();
    d.post('TLBI_NH_ALL', { VMID: 1 });
    d.post('SYNC', { CS: 0 });
    d.set('EVENTQ_CONS', 1);
    expect(d.reg('EVENTQ_PROD')).toBe(32);
    expect(d.m.smmu.outcomeOf(0)?.ok).toBe(true);
  });

  it('is a new one where the configuration has changed by then', () => {
    const d = full();
    d.m.dma();
    d.break('S2');
    d.mend();
    d.break('S2');
    d.set('EVENTQ_CONS', 1);
    // Stage 2 terminates.
    expect(d.event(0)).toMatchObject({ Stall: 0n, S2: 1n });
    expect(d.stags).toEqual([]);
  });

  it('no more than STALL_MAX are reported at once; the others wait at the input, 6.3.6', () => {
    const d = new Stalling({ stallMax: 2 });
    d.break('S1');
    for (let i = 0; i < 4; i++) d.m.dma();
    expect(d.m.smmu.stalled().map((s) => s.recorded)).toEqual([true, true, false, false]);
    expect(d.reg('EVENTQ_PROD')).toBe(2);
    d.resume(0, { Ac: 0, Ab: 1 });
    expect(d.reg('EVENTQ_PROD')).toBe(3);
    expect(d.m.smmu.stalled().map((s) => [s.stag, s.recorded])).toEqual([
      [1, true],
      [3, false],
      [2, true],
    ]);
    d.post('STALL_TERM', { SID });
    expect(d.stags).toEqual([]);
  });

  it('and the room that CMD_STALL_TERM of another stream makes is used', () => {
    const other = new PciDevice({ name: 'e', rid: 0x109, vrid: 9, pasidBits: 0, ats: false, pri: false, stall: true });
    const d = new Stalling({ stallMax: 1, others: [other] });
    d.m.put(
      d.m.steAddress + 64,
      Array.from({ length: 8 }, (_, i) => d.m.memory.readWord(d.m.steAddress + 8 * i)),
    );
    d.break('S1');
    d.m.dma();
    d.m.access({ device: other });
    expect(d.m.smmu.stalled().map((s) => [s.device, s.recorded])).toEqual([
      ['d', true],
      ['e', false],
    ]);
    d.post('STALL_TERM', { SID });
    expect(d.m.smmu.stalled().map((s) => [s.device, s.recorded])).toEqual([['e', true]]);
  });
});

describe('stalls under random use', () => {
  it('have tags of their own, are each reported once, and none is forgotten', () => {
    const op = fc.oneof(
      fc.record({ k: fc.constant('dma' as const), write: fc.boolean() }),
      fc.record({ k: fc.constant('end' as const), pick: fc.nat(7), retry: fc.boolean() }),
      fc.record({ k: fc.constant('consume' as const), n: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ k: fc.constantFrom('mend' as const, 'break' as const, 'term' as const, 'snapshot' as const) }),
    );
    fc.assert(
      fc.property(fc.array(op, { maxLength: 50 }), (ops) => {
        const d = new Stalling();
        d.break('S1');
        d.set('CR0', 0x19);
        d.set('EVENTQ_BASE', EVTQ | 2);
        d.set('CR0', 0x1d);
        let sent = 0;
        let done = 0;
        let cons = 0;
        for (const o of ops) {
          if (o.k === 'dma') {
            const r = d.m.dma(o.write);
            sent++;
            if (r.stag === undefined) done++;
          } else if (o.k === 'end') {
            const s = d.m.smmu.stalled()[o.pick];
            if (s?.recorded) {
              d.resume(s.stag, o.retry ? { Ac: 1 } : { Ac: 0, Ab: 1 });
            }
          } else if (o.k === 'consume') {
            const fill = (d.reg('EVENTQ_PROD') - cons) & 7;
            cons = (cons + Math.min(o.n, fill)) & 7;
            d.set('EVENTQ_CONS', cons);
          } else if (o.k === 'mend') d.mend();
          else if (o.k === 'break') d.break('S1');
          else if (o.k === 'term') d.post('STALL_TERM', { SID });
          else {
            const state = structuredClone(d.m.smmu.save());
            d.m.smmu.load(state);
            expect(d.m.smmu.save()).toEqual(state);
          }
          const now = d.m.smmu.stalled();
          expect(new Set(now.map((s) => s.stag)).size).toBe(now.length);
          // Nobody waits untold while there is room.
          const room = ((d.reg('EVENTQ_PROD') - cons) & 7) < 4;
          if (room) expect(now.every((s) => s.recorded)).toBe(true);
          expect(d.reg('EVENTQ_PROD') >>> 31).toBe(0);
          expect(now.length).toBeLessThanOrEqual(sent - done);
          for (const s of now) expect(d.m.smmu.outcomeOf(s.stag)).toBeNull();
          if (d.reg('CMDQ_CONS') >>> 24) throw new Error('command error');
        }
        // All of them can be brought to an end.
        d.post('STALL_TERM', { SID });
        expect(d.stags).toEqual([]);
      }),
      { numRuns: 120 },
    );
  });
});
