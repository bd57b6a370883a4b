import { describe, expect, it } from 'vitest';
import { A, type Bench, bench } from './bench.ts';
import { contextDevice, type Descriptor, deviceTlbAll, pasidCache, piotlbPages } from './descriptors.ts';
import { submit } from './index.ts';
import { wordsText } from './recording-unit.ts';

const IQE = 0x10;
const ITE = 0x40;
const ICE = 0x20;

const devTlb = deviceTlbAll({ sid: 0x3b00, pfsid: 0, atsQdep: 32 });
const bad = piotlbPages(2, 0, { address: 0n, mask: 19 }, false);
const send = (b: Bench, list: readonly Descriptor[]) => b.run(submit(b.k, b.k.units[0]!, list));
const lastLog = (b: Bench, n: number): string[] => b.k.state.log.slice(-n);

describe('qi_submit_sync', () => {
  it('10.25: one wait of its own, which no trace line shows', () => {
    const b = bench();
    expect(send(b, [contextDevice(0x3b00), pasidCache(5, 1)])).toBe('0');
    const [submission] = b.unit.submissions;
    const { queue } = b.k.state.units[0]!;
    expect(submission!.length).toBe(3);
    const wait = submission![2]!;
    expect(wait[0]).toBe(0x200000025n);
    // Its own slot's status word, behind the two of the descriptors.
    expect((Number(wait[1]) - queue!.status) / 4).toBe((queue!.freeHead + 255) % 256);
    expect(b.lines).toEqual([
      'qi_submit: cc_inv dmar0: 0x3b0000000031 0x0 0x0 0x0',
      'qi_submit: pc_inv dmar0: 0x100050017 0x0 0x0 0x0',
    ]);
  });

  it('goes round the ring: 1000 submissions of one descriptor leave every slot free', () => {
    const b = bench();
    for (let i = 0; i < 1000; i++) expect(send(b, [pasidCache(2, i)])).toBe('0');
    const { queue } = b.k.state.units[0]!;
    expect(queue!.freeCount).toBe(256);
    expect(b.unit.submissions.length).toBe(1000);
    expect(b.unit.submissions[999]!.slice(0, -1).map(wordsText)).toEqual([wordsText(pasidCache(2, 999))]);
  });

  it('status words lie in memory and are free again', () => {
    const b = bench();
    send(b, [pasidCache(2, 0)]);
    const { status } = b.k.state.units[0]!.queue!;
    for (let i = 0; i < 256; i++) expect(b.memory.read32(status + 4 * i)).toBe(0);
  });
});

describe('2.6: errors of the queue', () => {
  it('IQE at the first descriptor: overwritten with the wait, EINVAL', () => {
    const b = bench();
    b.unit.registers.set('IQERCD_REG', 4n);
    b.unit.refuse = (w) => (wordsText(w) === wordsText(bad) ? IQE : 0);
    expect(send(b, [bad])).toBe('EINVAL');
    expect(lastLog(b, 4)).toEqual([
      'DMAR: VT-d detected Invalidation Queue Error: Reason 4',
      'DMAR: QI HEAD: PASID-based IOTLB Invalidation qw0 = 0x20036, qw1 = 0x13',
      expect.stringMatching(/^DMAR: QI PRIOR: Invalidation Wait qw0 = 0x200000025, qw1 = 0x1[0-9a-f]+$/),
      'DMAR: Invalidation Queue Error (IQE) cleared',
    ]);
    b.unit.clear();
    expect(send(b, [pasidCache(2, 0)])).toBe('0');
    expect(b.unit.sent()).toEqual([[wordsText(pasidCache(2, 0))]]);
  });

  it('IQE further on in a batch: neither repaired nor cleared, the CPU spins', () => {
    const b = bench();
    b.unit.refuse = (w) => (wordsText(w) === wordsText(bad) ? IQE : 0);
    expect(send(b, [pasidCache(2, 0), bad])).toBe('ETIMEDOUT');
    expect(b.k.state.units[0]!.stuck).toBe(true);
    expect(b.unit.readRegister('FSTS_REG') & 0x10n).toBe(0x10n);
    const heads = b.k.state.log.filter((l) => l.includes('QI HEAD'));
    expect(heads.length).toBeGreaterThan(1);
    expect(heads[0]).toBe('DMAR: QI HEAD: PASID-based IOTLB Invalidation qw0 = 0x20036, qw1 = 0x13');
  });

  it('ICE is cleared, and the submission goes on', () => {
    const b = bench();
    b.unit.registers.set('IQERCD_REG', 0x3b00n << 48n);
    let once = true;
    b.unit.refuse = () => {
      if (!once) return 0;
      once = false;
      return ICE;
    };
    // The unit stopped before the descriptor; another doorbell makes it read on.
    const original = b.unit.writeRegister.bind(b.unit);
    b.unit.writeRegister = function* (name, value) {
      yield* original(name, value);
      if (name === 'FSTS_REG') yield* original('IQT_REG', b.unit.readRegister('IQT_REG'));
    };
    expect(send(b, [devTlb])).toBe('0');
    expect(b.k.state.log).toContain('DMAR: VT-d detected Invalidation Completion Error: SID 3b00');
    expect(b.k.state.log.at(-1)).toBe('DMAR: Invalidation Completion Error (ICE) cleared');
  });

  /** A unit that gives up on the first device TLB invalidation: it stands behind the wait, which it aborts. */
  function timingOut(b: Bench): void {
    let once = true;
    b.unit.registers.set('IQERCD_REG', 0x3b00n << 32n);
    const original = b.unit.writeRegister.bind(b.unit);
    b.unit.writeRegister = function* (name, value) {
      if (name !== 'IQT_REG' || !once) return yield* original(name, value);
      once = false;
      b.unit.registers.set('IQT_REG', value);
      b.unit.registers.set('IQH_REG', value);
      b.unit.registers.set('FSTS_REG', BigInt(ITE));
    };
  }

  it('ITE: what waits is aborted, and the whole submission is sent again', () => {
    const b = bench();
    timingOut(b);
    expect(send(b, [devTlb])).toBe('0');
    expect(b.lines.length).toBe(2);
    expect(b.unit.sent()).toEqual([[wordsText(devTlb)]]);
    expect(b.k.state.log).toContain('DMAR: VT-d detected Invalidation Time-out Error: SID 3b00');
    expect(b.k.state.log.at(-1)).toBe('DMAR: Invalidation Time-out Error (ITE) cleared');
  });

  it('ITE from a device that is gone: ETIMEDOUT, not sent again', () => {
    const b = bench({ devices: [{ ...A, present: false }] });
    timingOut(b);
    expect(send(b, [devTlb])).toBe('ETIMEDOUT');
    expect(b.lines.length).toBe(1);
    b.unit.clear();
    expect(send(b, [pasidCache(2, 0)])).toBe('0');
  });

  it('walking the aborted slots by twos never meets a tail on the other parity', () => {
    const b = bench({ deviations: ['host.aborts-odd-slots'] });
    // An even number of slots so far; two descriptors and a wait end on an even slot.
    expect(b.k.state.units[0]!.queue!.freeHead % 2).toBe(0);
    timingOut(b);
    expect(send(b, [pasidCache(2, 0), devTlb])).toBe('ETIMEDOUT');
    expect(b.k.state.units[0]!.stuck).toBe(true);
    const even = bench({ deviations: ['host.aborts-odd-slots'] });
    timingOut(even);
    expect(send(even, [devTlb])).toBe('0');
  });
});
