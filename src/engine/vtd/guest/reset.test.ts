import { describe, expect, it } from 'vitest';
import { attached, nic } from './recording-unit.ts';

const plain = { devices: [{ ...nic, atsCapable: false, priCapable: false }] };

describe('reset (7.9)', () => {
  it('RID, then PASIDs are torn down; afterwards all come back', () => {
    const g = attached();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'd1', pasid: 7 }));
    expect(g.sent(g.driver.resetPrepare({ device: 'nic0' }))).toEqual([
      '0000000000020017 0000000000000000',
      '0000000000020026 0000000000000000',
      '0000001800000003 7ffffffffffff001',
      '0000000700030017 0000000000000000',
      '0000000700030026 0000000000000000',
      '0000000700180008 7ffffffffffff800',
    ]);
    expect(g.driver.views().devices[0]).toMatchObject({ resetting: true, domain: 'd0', entries: [] });
    expect(g.run(g.driver.attach({ device: 'nic0', domain: 'd1' })).errno).toBe('EBUSY');
    expect(g.driver.views().devices[0]!.domain).toBe('d0');
    expect(g.run(g.driver.attach({ device: 'nic0', domain: 'd1', pasid: 8 })).errno).toBe('EBUSY');
    expect(g.run(g.driver.bind({ device: 'nic0', process: 'p' })).errno).toBe('EBUSY');
    expect(g.sent(g.driver.resetDone({ device: 'nic0' }))).toEqual([
      '0000000000020017 0000000000000000',
      '0000000000020026 0000000000000000',
      '0000000700030017 0000000000000000',
      '0000000700030026 0000000000000000',
    ]);
    expect(g.driver.views().devices[0]!.entries.map((e) => e.pasid)).toEqual([0, 7]);
  });

  it('a device without ATS is left alone', () => {
    const g = attached(plain);
    expect(g.sent(g.driver.resetPrepare({ device: 'nic0' }))).toEqual([]);
    expect(g.driver.views().devices[0]!.resetting).toBe(false);
    expect(g.sent(g.driver.resetDone({ device: 'nic0' }))).toEqual([]);
  });

  it('what is taken away meanwhile does not come back', () => {
    const g = attached();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'd1', pasid: 7 }));
    g.ok(g.driver.bind({ device: 'nic0', process: 'p' }));
    g.ok(g.driver.resetPrepare({ device: 'nic0' }));
    expect(g.sent(g.driver.detach({ device: 'nic0', pasid: 7 }))).toEqual([]);
    expect(g.sent(g.driver.unbind({ device: 'nic0', process: 'p' }))).toEqual([]);
    expect(g.sent(g.driver.detach({ device: 'nic0' }))).toEqual([]);
    expect(g.sent(g.driver.resetDone({ device: 'nic0' }))).toEqual([]);
    expect(g.driver.views().devices[0]).toMatchObject({ entries: [], pasids: [], domain: 'blocked' });
    g.ok(g.driver.attach({ device: 'nic0', domain: 'd0' }));
  });

  it('a process that exits meanwhile comes back: nobody asks whether it lives, its start table is empty', () => {
    const g = attached();
    g.ok(g.driver.bind({ device: 'nic0', process: 'p' }));
    g.ok(g.driver.resetPrepare({ device: 'nic0' }));
    expect(g.sent(g.driver.exit({ process: 'p' }))).toEqual([]);
    g.ok(g.driver.resetDone({ device: 'nic0' }));
    const [, entry] = g.driver.views().devices[0]!.entries;
    expect(entry!.pasid).toBe(1);
    const { pgd } = g.driver.views().processes[0]!;
    expect(g.memory.readWord(entry!.address + 16)).toBe(BigInt(pgd));
    for (let i = 0; i < 512; i++) expect(g.memory.readWord(pgd + i * 8)).toBe(0n);
    expect(g.sent(g.driver.unbind({ device: 'nic0', process: 'p' }))).toHaveLength(6);
    expect(g.driver.views().processes).toEqual([]);
  });

  it('may lie within another', () => {
    const g = attached();
    for (let i = 0; i < 2; i++) g.ok(g.driver.resetPrepare({ device: 'nic0' }));
    expect(g.sent(g.driver.resetDone({ device: 'nic0' }))).toEqual([]);
    expect(g.sent(g.driver.resetDone({ device: 'nic0' }))).toHaveLength(2);
    expect(g.run(g.driver.resetDone({ device: 'nic9' })).ok).toBe(false);
  });
});

describe('removal (7.10)', () => {
  it('PASIDs and RID go, then the context entry with a CC; the device may come again', () => {
    const g = attached();
    g.ok(g.driver.bind({ device: 'nic0', process: 'p' }));
    g.ok(g.driver.bind({ device: 'nic0', process: 'p' }));
    const { context } = g.driver.views().devices[0]!;
    const sent = g.sent(g.driver.remove({ device: 'nic0' }));
    // No flush of the device TLB after ATS is off.
    expect(sent.at(-1)).toBe('0000001800000031 0000000000000000');
    expect([0, 1, 2, 3].map((i) => g.memory.readWord(context! + i * 8))).toEqual([0n, 0n, 0n, 0n]);
    expect(g.driver.views().devices).toEqual([]);
    expect(g.run(g.driver.remove({ device: 'nic0' })).ok).toBe(false);
    g.ok(g.driver.attach({ device: 'nic0', domain: 'd0' }));
    expect(g.driver.views().devices[0]!.entries).toHaveLength(1);
  });
});

describe('faults of the unit (3.4)', () => {
  it('9.4: the record’s line in the log, F and PPF cleared', () => {
    const g = attached();
    g.unit.fault('SFS.2', { FI: 0x7f0012345000n, SID: 0x18, PP: true, PV: 0x1234 });
    g.unit.takeSeen();
    g.run(g.driver.interrupt());
    expect(g.driver.views().log).toEqual([
      'DMAR: DRHD: handling fault status reg 2',
      'DMAR: [DMA Write PASID 0x1234] Request device [00:03.0] fault addr 0x7f0012345000 [fault reason 0x71] SM: Present bit in first-level paging entry is clear',
    ]);
    expect(g.unit.takeSeen()).toEqual(['FRCD_REG0_HI=0x8000000000000000', 'FSTS_REG=0x83']);
    expect(g.unit.irq.fault).toBe(false);
  });
});
