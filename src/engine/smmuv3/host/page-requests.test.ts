import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { type Bed, bed } from './testbed.ts';

const device = { name: 'nic0', rid: 0x108, ats: true, pri: true, pasidBits: 6 };

function ask(b: Bed, pasid: number, iova: bigint, group: number, last: boolean, write = false): void {
  runToEnd(b.smmu.pri(b.devices[0]!, pasid, iova, { read: true, write }, group, last));
  runToEnd(b.driver.interrupt());
}

/** Linux expects no page requests: its words and its answer (arm-smmu-v3.c arm_smmu_handle_ppr; arm-smmuv3.md 3.2). */
describe('PRI queue', () => {
  it('logs each request and denies the group at its last one, without CMD_SYNC', () => {
    const b = bed({ devices: [device] });
    b.posted();
    ask(b, 5, 0x7fff1000n, 3, false, true);
    expect(b.posted()).toEqual([]);
    expect(b.driver.state.log.slice(-2)).toEqual([
      'unexpected PRI request received:',
      '\tsid 0x00000108.0x00005: [3] unprivileged RW access at iova 0x000000007fff1000',
    ]);
    ask(b, 5, 0x7fff2000n, 3, true);
    expect(b.driver.state.log.at(-1)).toBe(
      '\tsid 0x00000108.0x00005: [3L] unprivileged R access at iova 0x000000007fff2000',
    );
    const [posted, ...more] = b.events.flatMap((e) => (e.kind === 'command.post' ? [e.command] : [])).slice(-1);
    // CMD_PRI_RESP: SSV, SSID 5, SID 0x108, PRGIndex 3, Resp 0.
    expect(posted?.words).toEqual([0x0000010800005841n, 3n]);
    expect(more).toEqual([]);
    expect(b.devices[0]!.pri.answerOf(3)).toMatchObject({ code: 'failure' });
    expect(b.smmu.readRegister('PRIQ_CONS')).toBe(b.smmu.readRegister('PRIQ_PROD'));
  });

  it('says when requests were lost, and lets the queue go on', () => {
    const b = bed({ features: { PRIQS: 4 }, devices: [device] });
    const q = b.driver.state.priq!;
    const size = 2 ** q.log2;
    // Full but for nothing: the next request is lost.
    runToEnd(b.smmu.writeRegister('PRIQ_CONS', 0n));
    b.devices[0]!.pri.enable(2 ** 20);
    for (let i = 0; i < size; i++)
      runToEnd(b.smmu.pri(b.devices[0]!, -1, 0x1000n, { read: true, write: false }, 1, false));
    const lost = runToEnd(b.smmu.pri(b.devices[0]!, -1, 0x1000n, { read: true, write: false }, 2, true));
    expect(lost.recorded).toBe(false);
    runToEnd(b.driver.interrupt());
    expect(b.driver.state.log).toContain('PRIQ overflow detected -- requests lost');
    const [prod, cons] = ['PRIQ_PROD', 'PRIQ_CONS'].map((r) => b.smmu.readRegister(r));
    expect(cons).toBe(prod);
    ask(b, -1, 0x3000n, 4, true);
    expect(b.driver.state.log.at(-1)).toContain('[4L]');
  });

  it('there is none without IDR0.PRI', () => {
    const b = bed({ features: { PRI: false }, devices: [device] });
    expect(b.driver.state.priq).toBe(null);
    expect(b.smmu.readRegister('CR0') & 2n).toBe(0n);
  });
});
