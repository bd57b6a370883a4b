import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Injector } from '../../machine/index.ts';
import { Memory } from '../../memory/index.ts';
import { Trace, type TraceEvent } from '../../trace/index.ts';
import { decodeFault, faultText } from '../layout/index.ts';
import { type FaultedRequest, FaultRecorder, faultWords } from './faults.ts';
import { physicalFeatures } from './features.ts';
import { Interrupts } from './interrupts.ts';
import { CONTROL, FSTS, RegisterFile } from './registers.ts';

const request = (q: Partial<FaultedRequest> = {}): FaultedRequest => ({
  rid: 0x3b00,
  pasid: -1,
  address: 0x1000n,
  reason: 0x71,
  access: 'read',
  exec: false,
  priv: false,
  at: 0,
  ...q,
});

class Bench {
  readonly trace = new Trace();
  readonly memory = new Memory(2 ** 30);
  readonly regs: RegisterFile;
  readonly interrupts: Interrupts;
  readonly injector = new Injector(this.trace);
  readonly faults: FaultRecorder;
  readonly events: TraceEvent[] = [];

  constructor(records = 1) {
    const features = physicalFeatures({ NFR: records });
    this.regs = new RegisterFile(features);
    this.interrupts = new Interrupts(this.memory, this.regs);
    const { regs, interrupts, trace, injector } = this;
    this.faults = new FaultRecorder({ features, regs, interrupts, trace, injector });
    this.trace.listener = (e) => this.events.push(e);
    regs.setNum('FEADDR_REG', 0xfee0_0000);
    regs.setNum('FECTL_REG', 0);
  }

  fault(rid: number, wanted = true): boolean {
    this.faults.record(faultWords(request({ rid })), wanted);
    const e = this.events.at(-1);
    return e?.kind === 'fault' && e.recorded;
  }

  clear(n: number): void {
    this.regs.write(`FRCD_REG${n}_HI`, 1n << 63n);
    this.faults.cleared();
  }

  get status(): number {
    return this.regs.num('FSTS_REG');
  }

  /** SIDs of valid records, by register. */
  records(n: number): (number | null)[] {
    return Array.from({ length: n }, (_, i) => {
      const f = decodeFault([0n, this.regs.get(`FRCD_REG${i}_HI`)]);
      return f.F === 1n ? Number(f.SID) : null;
    });
  }
}

describe('9.4: fault records', () => {
  it.each([
    [
      { pasid: 0x1234, address: 0x7f0012345678n, access: 'write' },
      [0x7f0012345000n, 0x8012347180003b00n],
      'DMAR: [DMA Write PASID 0x1234] Request device [3b:00.0] fault addr 0x7f0012345000 [fault reason 0x71] SM: Present bit in first-level paging entry is clear',
    ],
    [
      { address: 0x89abc000n, reason: 0x79 },
      [0x89abc000n, 0xc000007900003b00n],
      'DMAR: [DMA Read NO_PASID] Request device [3b:00.0] fault addr 0x89abc000 [fault reason 0x79] SM: Read/Write permission error in second-level paging entry',
    ],
    [
      { rid: 0x18, address: 0x12345000n, reason: 0x59 },
      [0x12345000n, 0xc000005900000018n],
      'DMAR: [DMA Read NO_PASID] Request device [00:03.0] fault addr 0x12345000 [fault reason 0x59] SM: Present bit in PASID Table Entry is clear',
    ],
    [
      { rid: 0x5e10, pasid: 1, address: 0xfffff000n, reason: 0x91, access: 'write' },
      [0xfffff000n, 0x8000019180005e10n],
      'DMAR: [DMA Write PASID 0x1] Request device [5e:02.0] fault addr 0xfffff000 [fault reason 0x91] Unknown',
    ],
  ] as const)('%o', (q, words, line) => {
    expect(faultWords(request(q))).toEqual(words);
    expect(faultText(faultWords(request(q)))).toBe(line);
  });

  it('a handled record leaves nothing: dword 3 written 0x80000000, FSTS written 0x83', () => {
    const b = new Bench();
    b.fault(0x3b00);
    expect(b.status).toBe(2);
    b.clear(0);
    b.regs.write('FSTS_REG', 0x83n);
    expect(b.status & 0xff).toBe(0);
  });

  it('says what was asked for', () => {
    const f = (q: Partial<FaultedRequest>): Record<string, bigint> => decodeFault(faultWords(request(q)));
    expect(f({ pasid: 5, exec: true, priv: true })).toMatchObject({
      T1: 1n,
      T2: 0n,
      EXE: 1n,
      PRIV: 1n,
      PP: 1n,
      PV: 5n,
    });
    expect(f({ access: 'write', at: 2 })).toMatchObject({ T1: 0n, T2: 0n, AT: 2n, PP: 0n });
    expect(f({ access: 'page request', pasid: 0xfffff })).toMatchObject({ T1: 0n, T2: 1n, PV: 0xfffffn });
    // Without PASID neither privilege nor execution has a place in the request.
    expect(f({ exec: true, priv: true })).toMatchObject({ EXE: 0n, PRIV: 0n, PP: 0n });
  });
});

describe('primary fault logging, VT-d 7.2.1', () => {
  it('tells a requester once until software has taken the record', () => {
    const b = new Bench(4);
    expect([b.fault(1), b.fault(1), b.fault(2), b.fault(1)]).toEqual([true, false, true, false]);
    expect(b.records(4)).toEqual([1, 2, null, null]);
    expect(b.status & FSTS.PFO).toBe(0);
    b.clear(0);
    expect(b.fault(1)).toBe(true);
    expect(b.records(4)).toEqual([null, 2, 1, null]);
  });

  it('overflows when the next register is in use, and records nothing more until PFO is cleared', () => {
    const b = new Bench();
    b.fault(1);
    expect([b.fault(2), b.status & FSTS.PFO]).toEqual([false, FSTS.PFO]);
    b.clear(0);
    expect(b.fault(3)).toBe(false);
    b.regs.write('FSTS_REG', BigInt(FSTS.PFO));
    b.faults.cleared();
    expect([b.fault(3), b.records(1)]).toEqual([true, [3]]);
  });

  it('goes round the registers, and FRI names the first one that was filled while PPF was clear', () => {
    const b = new Bench(3);
    const fri: number[] = [];
    for (let n = 0; n < 7; n++) {
      b.fault(n);
      fri.push((b.status >> 8) & 0xff);
      b.clear(n % 3);
      expect(b.status & FSTS.PPF).toBe(0);
    }
    expect(fri).toEqual([0, 1, 2, 0, 1, 2, 0]);
    b.fault(8);
    b.fault(9);
    // The register after the second is in use by the first of them.
    expect((b.status >> 8) & 0xff).toBe(1);
    b.clear(1);
    expect(b.status & FSTS.PPF).toBe(FSTS.PPF);
  });

  it('silences a qualified fault where FPD is set', () => {
    const b = new Bench();
    expect([b.fault(1, false), b.status, b.interrupts.pending.fault]).toEqual([false, 0, false]);
    expect(b.events).toMatchObject([{ kind: 'fault', name: 'SFS.2', recorded: false }]);
  });

  it('interrupts once, until everything is serviced', () => {
    const b = new Bench(4);
    b.fault(1);
    expect(b.interrupts.pending.fault).toBe(true);
    b.interrupts.pending.fault = false;
    b.fault(2);
    b.faults.error(FSTS.IQE);
    expect(b.interrupts.pending.fault).toBe(false);
    b.clear(0);
    b.clear(1);
    b.fault(3);
    expect(b.interrupts.pending.fault).toBe(false);
    b.clear(2);
    b.regs.write('FSTS_REG', BigInt(FSTS.IQE));
    b.faults.cleared();
    b.fault(4);
    expect(b.interrupts.pending.fault).toBe(true);
  });

  it('keeps the message while it is masked, and forgets it when software has served the fault meanwhile', () => {
    const b = new Bench();
    const ip = (): boolean => (b.regs.num('FECTL_REG') & CONTROL.IP) !== 0;
    b.regs.setNum('FECTL_REG', CONTROL.IM);
    b.fault(1);
    expect([ip(), b.interrupts.pending.fault]).toEqual([true, false]);
    b.regs.write('FECTL_REG', 0n);
    b.interrupts.unmasked('fault');
    expect([ip(), b.interrupts.pending.fault]).toEqual([false, true]);
    b.interrupts.pending.fault = false;
    b.clear(0);
    b.regs.setNum('FECTL_REG', CONTROL.IM);
    b.fault(2);
    b.clear(0);
    expect(ip()).toBe(false);
    b.regs.write('FECTL_REG', 0n);
    b.interrupts.unmasked('fault');
    expect(b.interrupts.pending.fault).toBe(false);
  });

  it('sends a message to an address outside the interrupt range as a write that nobody notices', () => {
    const b = new Bench();
    b.regs.setNum('FEADDR_REG', 0x5000);
    b.regs.setNum('FEDATA_REG', 0x1234);
    b.fault(1);
    expect([b.memory.read32(0x5000), b.interrupts.pending.fault]).toEqual([0x1234, false]);
  });

  it('loses, repeats and changes records as an injected fault says', () => {
    const b = new Bench(2);
    b.injector.active = [{ at: 'event.record', action: 'drop', count: 1, xor: [0n, 0n] }];
    expect([b.fault(1), b.records(2)]).toEqual([false, [null, null]]);
    b.injector.active = [{ at: 'event.record', action: 'corrupt', count: 1, xor: [0n, 3n] }];
    expect([b.fault(1), b.records(2)]).toEqual([true, [2, null]]);
  });

  it('holds for any order of faults and handling', () => {
    const op = fc.oneof(
      fc.record({ kind: fc.constant('fault' as const), rid: fc.integer({ min: 0, max: 5 }) }),
      fc.record({ kind: fc.constant('clear' as const), n: fc.integer({ min: 0, max: 2 }) }),
      fc.record({ kind: fc.constant('status' as const) }),
    );
    fc.assert(
      fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
        const b = new Bench(3);
        const model: (number | null)[] = [null, null, null];
        let next = 0;
        let overflow = false;
        for (const o of ops) {
          if (o.kind === 'clear') {
            model[o.n] = null;
            b.clear(o.n);
          } else if (o.kind === 'status') {
            overflow = false;
            b.regs.write('FSTS_REG', 1n);
            b.faults.cleared();
          } else {
            const taken = !overflow && !model.includes(o.rid) && model[next] === null;
            if (!overflow && !model.includes(o.rid) && !taken) overflow = true;
            if (taken) {
              model[next] = o.rid;
              next = (next + 1) % 3;
            }
            expect(b.fault(o.rid)).toBe(taken);
          }
          expect(b.records(3)).toEqual(model);
          expect((b.status & FSTS.PPF) !== 0).toBe(model.some((x) => x !== null));
          expect((b.status & FSTS.PFO) !== 0).toBe(overflow);
        }
      }),
      { numRuns: 200 },
    );
  });
});
