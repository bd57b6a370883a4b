import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import type { PageAccess, PageRequestOutcome, PageResponseCode } from '../../pci/index.ts';
import type { TraceEvent } from '../../trace/index.ts';
import { decodePageRequest, encodeCommand } from '../layout/index.ts';
import { SID, TestMachine, withIdr } from './test-machine.ts';

const PRIQ = 0x320_0000;
const EVTQ = 0x300_0000;
const CMDQ = 0x310_0000;
const RW: PageAccess = { read: true, write: true };

interface Setup {
  readonly idr?: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly ste?: Readonly<Record<string, number | bigint>>;
  readonly device?: { readonly pri?: boolean; readonly pasidBits?: number; readonly prgPasidRequired?: boolean };
  /** Log2 of the PRI queue's entries. */
  readonly log2?: number;
}

/** A machine with a PRI queue; what its driver does is done here by hand. */
class Pri {
  readonly m: TestMachine;
  readonly seen: TraceEvent[] = [];
  private prod = 0;

  constructor(s: Setup = {}) {
    const idr = { IDR0: { PRI: 1, ...s.idr?.['IDR0'] }, IDR1: { PRIQS: 19, ...s.idr?.['IDR1'] } };
    this.m = new TestMachine({
      n1: 4,
      n2: 4,
      twoLevelSte: false,
      twoLevelCd: false,
      ste: s.ste ?? {},
      device: { pri: true, ...s.device },
      override: withIdr({ ...s.idr, ...idr }),
    });
    this.set('CR0', 0);
    this.set('IRQ_CTRL', 0);
    this.set('PRIQ_BASE', PRIQ | (s.log2 ?? 2));
    this.set('IRQ_CTRL', 7);
    this.set('CR0', 0x1f);
  }

  set(name: string, value: number): void {
    runToEnd(this.m.smmu.writeRegister(name, BigInt(value)));
  }

  reg(name: string): number {
    return Number(this.m.smmu.readRegister(name));
  }

  ask(group: number, last: boolean, pasid = -1, page = 0x5000n, access = RW): PageRequestOutcome {
    return runToEnd(this.m.smmu.pri(this.m.device, pasid, page, access, group, last));
  }

  record(i: number): Record<string, bigint> {
    return decodePageRequest([this.m.memory.readWord(PRIQ + 16 * i), this.m.memory.readWord(PRIQ + 16 * i + 8)]);
  }

  post(name: string, fields: Record<string, number>): void {
    this.m.put(CMDQ + (this.prod % 8) * 16, encodeCommand(name, fields));
    this.prod = (this.prod + 1) % 16;
    this.set('CMDQ_PROD', this.prod);
  }

  respond(group: number, resp: number, ssid = -1): void {
    this.post('PRI_RESP', { SID, PRGIndex: group, Resp: resp, ...(ssid >= 0 ? { SSV: 1, SSID: ssid } : {}) });
  }

  get events(): number {
    return this.reg('EVENTQ_PROD');
  }
}

describe('a page request, Arm IHI 0070 8', () => {
  it('lies in the queue as the figure has it', () => {
    const p = new Pri();
    const access = { read: true, write: false, exec: true, priv: true };
    const r = p.ask(0x1a5, true, 0x1234, 0xffff_8000_1234_5678n, access);
    expect(r).toMatchObject({ sent: true, recorded: true, response: null });
    // StreamID [31:0], SubstreamID [51:32], Priv 58, X 59, R 60, W 61, L 62, SSV 63; PRGIndex [72:64], address [127:76].
    expect(p.m.memory.readWord(PRIQ)).toBe(0xdc00_1234_0000_0108n);
    expect(p.m.memory.readWord(PRIQ + 8)).toBe(0xffff_8000_1234_51a5n);
    expect(p.reg('PRIQ_PROD')).toBe(1);
  });

  it('has neither X nor Priv without a PASID', () => {
    const p = new Pri();
    p.ask(1, false, -1, 0x7000n, { read: true, write: true, exec: true, priv: true });
    expect(p.m.memory.readWord(PRIQ)).toBe(0x3000_0000_0000_0108n);
    expect(p.m.memory.readWord(PRIQ + 8)).toBe(0x7001n);
  });

  it('has no SubstreamID where the SMMU has none', () => {
    const p = new Pri({ idr: { IDR1: { SSIDSIZE: 0 } } });
    p.ask(1, true, 5, 0n, { read: true, write: false, exec: true });
    expect(p.m.memory.readWord(PRIQ)).toBe(0x5000_0000_0000_0108n);
  });

  it('may be a stop marker, which takes no credit and gets no answer, not even when it is lost', () => {
    const p = new Pri({ log2: 0 });
    const marker = { read: false, write: false };
    expect(p.ask(3, true, 7, 0n, marker)).toMatchObject({ recorded: true, response: null });
    expect(p.record(0)).toMatchObject({ Last: 1n, PermRead: 0n, PermWrite: 0n, SSV: 1n, SSID: 7n });
    expect(p.m.device.pri.outstanding).toBe(0);
    expect(p.ask(4, true, 7, 0n, marker)).toMatchObject({ sent: true, recorded: false, response: null });
    expect(p.reg('PRIQ_PROD') >>> 31).toBe(1);
    p.set('CR0', 0x1d);
    expect(p.ask(4, true, 7, 0n, marker)).toMatchObject({ sent: true, recorded: false, response: null });
    // Without a PASID it is a page request like any other.
    expect(p.ask(4, true, -1, 0n, marker)).toMatchObject({ response: { code: 'failure' } });
  });

  it('is not sent by a device that may not', () => {
    const refused = (s: Setup, change: (p: Pri) => void = () => undefined, pasid = -1): string => {
      const p = new Pri(s);
      change(p);
      const r = p.ask(1, true, pasid);
      expect([r.sent, p.reg('PRIQ_PROD')]).toEqual([false, 0]);
      return r.text;
    };
    expect(refused({ device: { pri: false } })).toBe('the device has no page request interface');
    expect(refused({}, (p) => p.m.device.reset())).toBe('PRI is not enabled in the device');
    expect(refused({ device: { pasidBits: 0 } }, undefined, 3)).toBe('PASID is not enabled in the device');
  });

  it('holds a credit until its group is answered', () => {
    const p = new Pri({ log2: 4 });
    p.m.device.pri.enable(3);
    expect([p.ask(1, false).sent, p.ask(1, true).sent, p.ask(2, false).sent]).toEqual([true, true, true]);
    expect(p.ask(3, true).text).toBe('all 3 page requests are outstanding');
    expect(p.ask(1, true).text).toBe('group 1 still waits for its answer');
    p.respond(1, 2);
    expect(p.m.device.pri.outstanding).toBe(1);
    expect(p.m.device.pri.answerOf(1)).toEqual({ group: 1, code: 'success', pasid: -1 });
    expect(p.ask(3, true).sent).toBe(true);
  });
});

describe('the interrupt of the PRI queue, 6.3.36', () => {
  const interrupts = (lo: boolean, ...requests: [number, boolean][]): boolean[] => {
    const p = new Pri({ log2: 1 });
    p.set('IRQ_CTRL', 0);
    p.set('PRIQ_IRQ_CFG2', lo ? 0x8000_0000 : 0);
    p.set('IRQ_CTRL', 7);
    return requests.map(([group, last]) => {
      p.m.smmu.irq.priq = false;
      p.ask(group, last);
      return p.m.smmu.irq.priq;
    });
  };

  it('comes when the queue stops being empty', () => {
    expect(interrupts(false, [1, true], [2, false], [2, true], [3, true])).toEqual([true, false, false, false]);
  });

  it('with Last Only comes for each last request, also for one that overflow loses', () => {
    expect(interrupts(true, [1, true], [2, false], [2, true], [3, false])).toEqual([true, false, true, false]);
  });

  it('is a memory write where an address is set, and an aborted one is a global error', () => {
    const p = new Pri();
    p.set('IRQ_CTRL', 0);
    p.set('PRIQ_IRQ_CFG0', 0x400_0000);
    p.set('PRIQ_IRQ_CFG1', 0x1234_5678);
    p.set('IRQ_CTRL', 7);
    p.ask(1, true);
    expect(p.m.memory.read32(0x400_0000)).toBe(0x1234_5678);
    const q = new Pri();
    q.set('IRQ_CTRL', 0);
    q.set('PRIQ_IRQ_CFG0', 0x7fff_ffff_fffc);
    q.set('IRQ_CTRL', 7);
    q.ask(1, true);
    expect(q.reg('GERROR') ^ q.reg('GERRORN')).toBe(1 << 6);
    expect(q.m.smmu.irq).toEqual({ evtq: false, gerror: true, priq: false });
  });

  it('does not come while it is off', () => {
    const p = new Pri();
    p.set('IRQ_CTRL', 5);
    p.ask(1, true);
    expect(p.m.smmu.irq.priq).toBe(false);
  });
});

/** How the STE of the device is when the SMMU has to look at PPAR. */
const stes = ['PPAR 1', 'PPAR 0', 'illegal', 'out of range', 'fetch aborted'] as const;

interface Case {
  readonly smmuen: boolean;
  readonly priqen: boolean;
  readonly abort: boolean;
  readonly full: boolean;
  readonly last: boolean;
  readonly pasid: number;
  readonly pps: boolean;
  readonly substreams: boolean;
  readonly ste: (typeof stes)[number];
  readonly recCfgAts: boolean;
  readonly recInvSid: boolean;
}

/** What sections 8.1 and 8.2 say, written from their text alone. */
function expected(c: Case): { recorded: boolean; answer: [PageResponseCode, number] | null; event: boolean } {
  const nothing = { recorded: false, event: false };
  if (!c.smmuen || !c.priqen || c.abort) return { ...nothing, answer: ['failure', -1] };
  if (!c.full) return { recorded: true, answer: null, event: false };
  if (!c.last) return { ...nothing, answer: null };
  if (c.pasid < 0 || !c.substreams) return { ...nothing, answer: ['success', -1] };
  if (c.pps) return { ...nothing, answer: ['success', c.pasid] };
  if (c.ste === 'PPAR 1') return { ...nothing, answer: ['success', c.pasid] };
  if (c.ste === 'PPAR 0') return { ...nothing, answer: ['success', -1] };
  const event = c.recCfgAts && (c.ste !== 'out of range' || c.recInvSid);
  return { recorded: false, answer: ['failure', -1], event };
}

const cases = fc.record({
  smmuen: fc.boolean(),
  priqen: fc.boolean(),
  abort: fc.boolean(),
  full: fc.boolean(),
  last: fc.boolean(),
  pasid: fc.constantFrom(-1, 5),
  pps: fc.boolean(),
  substreams: fc.boolean(),
  ste: fc.constantFrom(...stes),
  recCfgAts: fc.boolean(),
  recInvSid: fc.boolean(),
});

describe('the answers that the SMMU gives by itself, 8.1, 8.2, 8.3', () => {
  it('are those of the specification in every case', () => {
    fc.assert(
      fc.property(cases, (c) => {
        const p = new Pri({
          log2: 0,
          idr: { IDR0: { ATSRECERR: 1 }, IDR1: { SSIDSIZE: c.substreams ? 16 : 0 }, IDR3: { PPS: c.pps ? 1 : 0 } },
          ste: { PPAR: c.ste === 'PPAR 1' ? 1 : 0, V: c.ste === 'illegal' ? 0 : 1 },
        });
        p.set('CR0', 0);
        p.set('CR2', (c.recInvSid ? 2 : 0) | (c.recCfgAts ? 8 : 0));
        if (c.ste === 'out of range') p.set('STRTAB_BASE_CFG', 4);
        if (c.ste === 'fetch aborted') runToEnd(p.m.smmu.writeRegister('STRTAB_BASE', 0xffff_ff00_0000n));
        if (c.abort) {
          runToEnd(p.m.smmu.writeRegister('PRIQ_BASE', 0xffff_ffff_0000n));
          p.set('CR0', 0x1f);
          p.ask(0x1ff, true, -1);
          expect(p.reg('GERROR') ^ p.reg('GERRORN')).toBe(1 << 3);
          p.m.device.pri.enable();
          p.set('CR0', 0);
          p.set('PRIQ_BASE', PRIQ);
        }
        if (c.full) p.set('PRIQ_PROD', 1);
        p.set('CR0', (c.smmuen ? 1 : 0) | (c.priqen ? 2 : 0) | 0x1c);
        const before = p.reg('PRIQ_PROD');
        const want = expected(c);
        const r = p.ask(9, c.last, c.pasid);
        expect(r.recorded).toBe(want.recorded);
        expect(r.response).toEqual(want.answer && { group: 9, code: want.answer[0], pasid: want.answer[1] });
        expect(p.m.device.pri.answerOf(9)).toEqual(r.response);
        expect(p.m.device.pri.enabled).toBe(want.answer?.[0] !== 'failure');
        expect(p.events).toBe(want.event ? 1 : 0);
        if (want.event)
          expect(p.m.memory.readWord(EVTQ) & 0xffn).toBe(
            { illegal: 4n, 'out of range': 2n, 'fetch aborted': 3n, 'PPAR 0': 0n, 'PPAR 1': 0n }[c.ste],
          );
        // Only overflow, and only once, toggles the flag; nothing else moves.
        const overflow = c.smmuen && c.priqen && !c.abort && c.full;
        expect(p.reg('PRIQ_PROD')).toBe(overflow ? before + 0x8000_0000 : want.recorded ? 1 : before);
      }),
      { numRuns: 600 },
    );
  });

  it('a write that is aborted answers with failure and stops the queue until that is acknowledged', () => {
    const p = new Pri();
    p.set('CR0', 0);
    runToEnd(p.m.smmu.writeRegister('PRIQ_BASE', 0xffff_ffff_0002n));
    p.set('CR0', 0x1f);
    expect(p.ask(1, false)).toMatchObject({ recorded: false, response: { code: 'failure', pasid: -1 } });
    expect(p.reg('GERROR') ^ p.reg('GERRORN')).toBe(1 << 3);
    expect(p.m.smmu.irq.gerror).toBe(true);
    expect(p.reg('PRIQ_PROD')).toBe(0);
    p.set('CR0', 0);
    p.set('PRIQ_BASE', PRIQ | 2);
    p.set('CR0', 0x1f);
    p.m.device.pri.enable();
    expect(p.ask(1, true)).toMatchObject({ recorded: false, response: { code: 'failure' } });
    p.set('GERRORN', p.reg('GERROR'));
    p.m.device.pri.enable();
    expect(p.ask(1, true).recorded).toBe(true);
  });

  it('without IDR0.PRI every request fails and the registers read as zero', () => {
    const p = new Pri({ idr: { IDR0: { PRI: 0 } } });
    expect(p.ask(1, true)).toMatchObject({ sent: true, response: { code: 'failure' } });
    expect([p.reg('PRIQ_BASE'), p.reg('CR0'), p.reg('IRQ_CTRL')]).toEqual([0, 0x1d, 5]);
  });
});

describe('the PRI queue against a plain one', () => {
  it('keeps order, overflows once, and writes nothing until that is acknowledged', () => {
    type Step = 'ask' | 'take' | 'acknowledge';
    const steps = fc.array(fc.constantFrom<Step>('ask', 'ask', 'ask', 'take', 'acknowledge'), { maxLength: 60 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3 }), steps, (log2, list) => {
        const p = new Pri({ log2 });
        p.m.device.pri.enable(500);
        const size = 2 ** log2;
        const queue: number[] = [];
        let group = 0;
        let rd = 0;
        let overflow = false;
        for (const s of list) {
          if (s === 'ask') {
            group++;
            const lost = overflow || queue.length === size;
            if (lost) overflow = true;
            else queue.push(group);
            const r = p.ask(group, true);
            expect(r.recorded).toBe(!lost);
            expect(r.response?.code).toBe(lost ? 'success' : undefined);
          } else {
            const prod = p.reg('PRIQ_PROD');
            if (s === 'take' && queue.length > 0) {
              expect(p.record(rd % size)['PRGIndex']).toBe(BigInt(queue.shift()!));
              rd = (rd + 1) % (2 * size);
            }
            const flag = s === 'acknowledge' ? prod & 0x8000_0000 : p.reg('PRIQ_CONS') & 0x8000_0000;
            if (s === 'acknowledge') overflow = false;
            p.set('PRIQ_CONS', (rd | flag) >>> 0);
          }
          expect((p.reg('PRIQ_PROD') ^ p.reg('PRIQ_CONS')) >>> 31 !== 0).toBe(overflow);
        }
      }),
      { numRuns: 150 },
    );
  });
});

describe('CMD_PRI_RESP, 4.5.2', () => {
  it('gives each code to the device, with the PASID that it names', () => {
    const codes = ['failure', 'invalid request', 'success'] as const;
    for (const [resp, code] of codes.entries()) {
      const p = new Pri();
      p.ask(0x1a5, true, 5);
      p.respond(0x1a5, resp, 5);
      expect(p.m.device.pri.answerOf(0x1a5)).toEqual({ group: 0x1a5, code, pasid: 5 });
      expect([p.m.device.pri.enabled, p.m.device.pri.failed]).toEqual(resp === 0 ? [false, true] : [true, false]);
      expect(p.reg('CMDQ_CONS')).toBe(1);
    }
  });

  it('is illegal with Resp 3, and without IDR0.PRI', () => {
    const p = new Pri();
    p.respond(7, 3);
    expect(p.reg('CMDQ_CONS')).toBe(0x0100_0000);
    const q = new Pri({ idr: { IDR0: { PRI: 0 } } });
    q.respond(7, 2);
    expect(q.reg('CMDQ_CONS')).toBe(0x0100_0000);
  });

  it('is ignored while SMMUEN is 0 and for a StreamID without a device', () => {
    const p = new Pri();
    p.ask(7, true);
    p.set('CR0', 0x1e);
    p.respond(7, 2);
    expect(p.m.device.pri.answerOf(7)).toBeNull();
    p.set('CR0', 0x1f);
    p.post('PRI_RESP', { SID: 0x999, PRGIndex: 7, Resp: 2 });
    expect(p.m.device.pri.answerOf(7)).toBeNull();
    p.respond(7, 2);
    expect(p.m.device.pri.answerOf(7)?.code).toBe('success');
    expect(p.reg('CMDQ_CONS')).toBe(3);
  });

  it('to a group that does not wait sets the status bit of the device and nothing else', () => {
    const p = new Pri();
    p.ask(7, true);
    p.respond(8, 2);
    expect([p.m.device.pri.unexpected, p.m.device.pri.waiting().length]).toEqual([true, 1]);
    expect(p.m.device.pri.enabled).toBe(true);
  });

  it('must carry the PASID where the device requires it, PCI Express 10.5.2.2', () => {
    const answered = (required: boolean, ssid: number): boolean => {
      const p = new Pri({ device: { prgPasidRequired: required } });
      p.ask(7, true, 5);
      p.respond(7, 2, ssid);
      return p.m.device.pri.answerOf(7) !== null;
    };
    expect([answered(true, 5), answered(true, -1), answered(true, 6)]).toEqual([true, false, false]);
    expect([answered(false, 5), answered(false, -1), answered(false, 6)]).toEqual([true, true, false]);
  });

  it('after a failure the device asks for nothing and hears nothing until PRI is enabled again', () => {
    const p = new Pri();
    p.ask(1, true);
    p.ask(2, true);
    p.respond(1, 0);
    p.respond(2, 2);
    expect(p.m.device.pri.answerOf(2)).toBeNull();
    expect(p.ask(3, true)).toMatchObject({ sent: false, text: 'PRI is off after a response failure' });
    p.m.device.pri.enable();
    expect(p.ask(3, true).recorded).toBe(true);
  });
});

describe('messages of page requests in the trace', () => {
  it('go from the device to the queue and back', () => {
    const p = new Pri();
    p.m.trace.listener = (e) => p.seen.push(e);
    p.ask(1, true);
    p.respond(1, 2);
    const of = p.seen.filter((e) => e.kind === 'page.request' || e.kind === 'page.response');
    expect(of.map((e) => [e.kind, e.actor, e.at, e.to ?? ''])).toEqual([
      ['page.request', 'device', 'hw.device.d', 'hw.smmu'],
      ['page.request', 'iommu', 'hw.priq', ''],
      ['page.response', 'iommu', 'hw.smmu', 'hw.device.d'],
    ]);
    expect(of[1]).toMatchObject({ recorded: true, layout: 'smmuv3.pri' });
    expect(of[2]).toMatchObject({ code: 'success', auto: false });
  });

  it('survive save and load, with the groups that wait', () => {
    const p = new Pri();
    p.ask(1, true, 4);
    p.ask(2, false);
    const state = structuredClone(p.m.smmu.save());
    const q = new Pri();
    q.m.smmu.load(state);
    expect(q.m.device.pri.waiting()).toEqual([
      { group: 1, pasid: 4, pages: 1, closed: true },
      { group: 2, pasid: -1, pages: 1, closed: false },
    ]);
    expect(q.m.smmu.save()).toEqual(state);
  });
});
