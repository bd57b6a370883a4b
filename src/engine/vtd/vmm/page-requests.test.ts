import { describe, expect, it } from 'vitest';
import { decodeFault, decodePageRequest, encodeDescriptor } from '../layout/index.ts';
import { plugged, type RecorderOptions } from './fixtures/recording-vmm.ts';

const forwarded: RecorderOptions = { pageFaults: 'forwarded' };

/** As the kernel gives it: nic0 is device 2, a write with PASID 5. */
const fault = (cookie: number, more: object = {}) => ({
  flags: 3,
  dev_id: 2,
  pasid: 5,
  grpid: 7,
  perm: 3,
  addr: 0x7f0012345000n,
  length: 0,
  cookie,
  ...more,
});

/** nic0 bound without PASID (DID 2) and with PASID 5 (DID 3), both with a fault queue. */
function requesting(o: RecorderOptions = {}) {
  const v = plugged({ ...forwarded, ...o });
  v.firstStage('nic0', 0, 2, 0x40500000);
  v.firstStage('nic0', 5, 3, 0x40600000);
  v.boot();
  v.kernel.take();
  const poll = (...faults: object[]): void => {
    v.kernel.faults.push(...(faults as Record<string, unknown>[]));
    v.run(v.vmm.pollEvents());
  };
  const answer = (fields: Record<string, number>): void =>
    v.post(encodeDescriptor('PAGE_GRP_RESP', { PP: 1, RID: 8, PASID: 5, PRGI: 7, ...fields }));
  return { ...v, poll, answer };
}

describe('policy pageFaults', () => {
  it('terminated: no fault queue', () => {
    const v = plugged();
    v.firstStage('nic0', 5, 3, 0x40600000);
    v.firstStage('nic0', 0, 2, 0x40500000);
    v.boot();
    expect(v.kernel.take().filter((c) => c.startsWith('FAULT_QUEUE'))).toEqual([]);
  });

  it('forwarded: each nested HWPT has a queue, unless the guest’s context entry has PRE clear', () => {
    const v = plugged(forwarded);
    v.firstStage('nic0', 0, 2, 0x40500000);
    v.context('nic1', false);
    v.firstStage('nic1', 0, 2, 0x40500000);
    v.boot();
    expect(v.kernel.take()).toEqual([
      'FAULT_QUEUE_ALLOC',
      'HWPT_ALLOC flags=12 dev_id=2 pt_id=3 fault_id=5 s1=0,0x40500000,48',
      'ATTACH_IOMMUFD_PT pt_id=6',
      'HWPT_ALLOC flags=8 dev_id=4 pt_id=3 s1=0,0x40500000,48',
      'ATTACH_IOMMUFD_PT pt_id=7',
    ]);
    v.firstStage('nic0', 0, 2, 0x40600000);
    v.flush('PC_INV', { G: 1, DID: 2 });
    expect(v.kernel.take()).toEqual([
      'FAULT_QUEUE_ALLOC',
      'HWPT_ALLOC flags=12 dev_id=2 pt_id=3 fault_id=8 s1=0,0x40600000,48',
      'ATTACH_IOMMUFD_PT pt_id=9',
      'DESTROY id=6',
      'close 98',
      'DESTROY id=5',
    ]);
  });

  it('9.8: a request reaches the guest’s queue after its page was invalidated', () => {
    const v = requesting();
    const events = v.listen();
    v.poll(fault(41, { grpid: 5 }));
    expect(v.kernel.take()).toEqual(['HWPT_INVALIDATE hwpt_id=8 entry_num=1']);
    expect(v.kernel.invalidations).toEqual([['0x7f0012345000 0x1 0']]);
    // 9.8 with the guest's own RID and PASID.
    expect(v.prq(0)).toEqual([0x0000000500080101n, 0x00007f001234502fn, 0n, 0n]);
    expect([v.read('PQT_REG'), v.read('PRS_REG'), v.vmm.irq.prq]).toEqual([0x20n, 1n, true]);
    expect(events.find((e) => e.kind === 'guest.event')).toMatchObject({
      at: 'guest.prq',
      layout: 'vtd.prq',
      text: 'page request rid 0x8 pasid 0x5 rw- last group 5 0x7f0012345000',
    });
  });

  it('the guest’s answer goes back with the kernel’s cookie', () => {
    const v = requesting();
    v.poll(fault(41), fault(42, { grpid: 8 }));
    v.answer({ RC: 0 });
    v.answer({ RC: 1, PRGI: 8 });
    expect(v.kernel.responses).toEqual([
      { cookie: 41, code: 0 },
      { cookie: 42, code: 1 },
    ]);
    v.answer({ RC: 0 });
    expect(v.kernel.responses).toHaveLength(2);
  });

  it('an answer for another device, PASID or group answers nothing', () => {
    const v = requesting();
    v.poll(fault(41));
    v.answer({ RID: 0x10 });
    v.answer({ PASID: 6 });
    v.answer({ PRGI: 8 });
    expect(v.kernel.responses).toEqual([]);
    expect(v.read('FSTS_REG')).toBe(0n);
  });

  it('a response failure is passed on as 2, which the kernel refuses: the group stays', () => {
    const v = requesting();
    v.poll(fault(41));
    v.kernel.refuse = (call) => (call === 'write' ? 'EINVAL' : null);
    v.answer({ RC: 15 });
    expect(v.kernel.responses).toEqual([{ cookie: 41, code: 2 }]);
    expect(v.vmm.state.errors).toContain('page response for cookie 41 failed: EINVAL');
  });

  it('a group of several requests is answered once, by its last', () => {
    const v = requesting();
    v.poll(fault(41, { flags: 1 }), fault(41, { addr: 0x7f0012346000n }));
    expect([0, 1].map((i) => decodePageRequest(v.prq(i))['LPIG'])).toEqual([0n, 1n]);
    v.answer({ RC: 0 });
    expect(v.kernel.responses).toEqual([{ cookie: 41, code: 0 }]);
  });

  it('the interrupt comes again only after the guest has cleared PPR', () => {
    const v = requesting();
    v.poll(fault(41));
    v.vmm.irq.prq = false;
    v.poll(fault(42));
    expect(v.vmm.irq.prq).toBe(false);
    v.write('PRS_REG', 1);
    v.write('PECTL_REG', 0x80000000);
    v.poll(fault(43));
    expect([v.vmm.irq.prq, v.read('PECTL_REG')]).toEqual([false, 0xc0000000n]);
    v.write('PECTL_REG', 0);
    expect(v.vmm.irq.prq).toBe(true);
  });

  it('requests without PASID never reach the guest', () => {
    const v = requesting();
    v.kernel.faults.push(fault(41, { flags: 2, pasid: 0 }));
    v.vmm.units[0]!.deviceOf('nic0')!.bindings.splice(0, 1);
    v.run(v.vmm.pollEvents());
    expect([v.read('PQT_REG'), v.read('PRS_REG'), v.kernel.responses]).toEqual([0n, 0n, []]);
  });

  it('a full queue sets PRO, and what comes until it is cleared is lost', () => {
    const v = requesting();
    v.write('PQH_REG', 0x40);
    v.poll(fault(41));
    v.vmm.irq.prq = false;
    v.poll(fault(42), fault(43));
    expect([v.read('PQT_REG'), v.read('PRS_REG')]).toEqual([0x20n, 3n]);
    v.write('PRS_REG', 3);
    v.write('PQH_REG', 0x20);
    v.poll(fault(44));
    expect([v.read('PQT_REG'), v.read('PRS_REG'), v.vmm.irq.prq]).toEqual([0x40n, 1n, true]);
  });

  it('the queue wraps', () => {
    const v = requesting();
    for (let i = 0; i < 130; i++) {
      v.poll(fault(i, { grpid: i }));
      v.write('PQH_REG', v.read('PQT_REG'));
    }
    expect(v.read('PQT_REG')).toBe(0x40n);
  });

  it('requests end with their binding', () => {
    const v = requesting();
    v.poll(fault(41));
    v.pasidEntry('nic0', 5);
    v.flush('PC_INV', { G: 1, DID: 3, PASID: 5 });
    v.firstStage('nic0', 5, 3, 0x40600000);
    v.flush('PC_INV', { G: 1, DID: 3, PASID: 5 });
    v.answer({ RC: 0 });
    expect(v.kernel.responses).toEqual([]);
  });
});

describe('the vIOMMU’s own fault record', () => {
  it('10.20: root and context faults have legacy codes, the PASID loses its upper bits', () => {
    const record = (prepare: (v: ReturnType<typeof requesting>) => void) => {
      const v = requesting();
      prepare(v);
      v.poll(fault(41));
      return v;
    };
    const code = (v: ReturnType<typeof requesting>) =>
      decodeFault([v.read('FRCD_REG0_LO'), v.read('FRCD_REG0_HI')])['FR'];
    const noRoot = record((v) => v.memory.writeWord(0x40100000, 0n));
    expect(code(noRoot)).toBe(1n);
    expect(code(record((v) => v.memory.writeWord(0x40110000 + 8 * 32, 0n)))).toBe(2n);
    expect(code(record((v) => v.memory.writeWord(0x40100000, 0x40110003n)))).toBe(0xan);
    expect(code(record((v) => v.memory.writeWord(0x40110000 + 8 * 32 + 8, 1n << 21n)))).toBe(0xbn);
    expect(code(record((v) => v.memory.writeWord(0x40100000, 0x90000001n)))).toBe(9n);
    expect(code(record((v) => v.context('nic0', false)))).toBe(0x47n);
    expect([noRoot.read('FSTS_REG'), noRoot.vmm.irq.fault, noRoot.read('PQT_REG')]).toEqual([2n, true, 0n]);

    const v = plugged(forwarded);
    v.firstStage('nic0', 0, 2, 0x40500000);
    v.boot();
    // A PASID of 20 bits, as the host may use it.
    v.vmm.units[0]!.deviceOf('nic0')!.bindings.unshift({
      pasid: 0x51234,
      entry: [0x49n, 2n, 0x40500000n, 0n, 0n, 0n, 0n, 0n],
      hwpt: 9,
      faultQueue: { id: 10, fd: 98 },
      pending: [],
    });
    v.memory.writeWord(0x40100000, 0n);
    v.kernel.faults.push(fault(41, { pasid: 0x51234 }));
    v.run(v.vmm.pollEvents());
    expect(decodeFault([v.read('FRCD_REG0_LO'), v.read('FRCD_REG0_HI')])).toMatchObject({
      FI: 0x7f0012345000n,
      SID: 8n,
      FR: 1n,
      PP: 1n,
      PV: 0x1234n,
      T1: 0n,
      F: 1n,
    });
  });

  it('an entry of zeros for PASID 0 is invalid, one with P clear is not present', () => {
    const code = (...words: bigint[]): bigint | undefined => {
      const v = requesting();
      v.pasidEntry('nic0', 0, ...words);
      v.poll(fault(41));
      return decodeFault([v.read('FRCD_REG0_LO'), v.read('FRCD_REG0_HI')])['FR'];
    };
    expect(code()).toBe(0x5bn);
    expect(code(0x48n, 2n, 0x40500000n)).toBe(0x59n);
  });

  it('holds one fault: the same device collapses, another one overflows', () => {
    const v = plugged(forwarded);
    for (const d of ['nic0', 'nic1']) for (const p of [0, 5]) v.firstStage(d, p, 2, 0x40500000);
    v.boot();
    v.memory.writeWord(0x40100000, 0n);
    // The recording kernel has one queue: nic0 reads all of it.
    const poll = (...f: object[]): void => {
      v.kernel.faults.push(...(f as Record<string, unknown>[]));
      v.run(v.vmm.pollEvents());
    };
    poll(fault(41), fault(42));
    expect(v.read('FSTS_REG')).toBe(2n);
    v.vmm.units[0]!.state.devices.reverse();
    poll(fault(43, { dev_id: 4 }));
    expect(v.read('FSTS_REG')).toBe(3n);
    v.write('FRCD_REG0_HI', 1n << 63n);
    expect(v.read('FSTS_REG')).toBe(1n);
    poll(fault(44, { dev_id: 4 }));
    expect(v.read('FRCD_REG0_HI') >> 63n).toBe(0n);
    v.write('FSTS_REG', 1);
    poll(fault(45, { dev_id: 4 }));
    expect(v.read('FSTS_REG')).toBe(2n);
  });

  it('FPD keeps qualified faults out', () => {
    const v = requesting();
    v.context('nic0', false);
    v.memory.writeWord(0x40110000 + 8 * 32, v.memory.readWord(0x40110000 + 8 * 32) | 2n);
    v.poll(fault(41));
    expect(v.read('FSTS_REG')).toBe(0n);
  });
});
