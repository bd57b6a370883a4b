import { describe, expect, it } from 'vitest';
import { guestOnRecorder, type RecorderOptions } from './recording-smmu.ts';

function booted(o: RecorderOptions = {}) {
  const g = guestOnRecorder(o);
  g.ok(g.driver.boot());
  const log: string[] = [];
  g.trace.listener = (e) => e.kind === 'note' && log.push(e.text.replace('guest kernel log: ', ''));
  g.smmu.take();
  return { ...g, log };
}

const NSNH_ALL = 0x30;
const warning = (bits: number): string =>
  `unexpected global error reported (0x${bits.toString(16).padStart(8, '0')}), this could be serious`;

describe('command errors (arm-smmuv3.md 2.5)', () => {
  it.each([
    [1, 'Illegal command'],
    [9, 'Unknown'],
  ])('code %i: the command becomes a CMD_SYNC', (code, name) => {
    const g = booted();
    g.smmu.errors.push({ opcode: NSNH_ALL, code });
    const cons = (0x4 | (code << 24)).toString(16).padStart(8, '0');
    expect(g.run(g.driver.invalidate([0x30n, 0x7n]))).toEqual({
      ok: false,
      text: `command sent; CMDQ error (cons 0x${cons}): ${name}`,
    });
    expect(g.log).toEqual([
      warning(1),
      `CMDQ error (cons 0x${cons}): ${name}`,
      'skipping command in error state: 0x0000000000000030 0x0000000000000007',
    ]);
    // In place of the bad one, then the CMD_SYNC that was waited for.
    expect(g.smmu.take()).toEqual(['GERRORN=0x1', 'SYNC', 'SYNC']);
    expect(g.run(g.driver.invalidate([0x30n, 0n])).ok).toBe(true);
  });

  it.each([
    [0, 'No error', []],
    [2, 'Abort on command fetch', ['retrying command fetch']],
    [3, 'ATC invalidate timeout', []],
  ])('code %i: the command is left and tried again', (code, name, more) => {
    const g = booted();
    g.smmu.errors.push({ opcode: NSNH_ALL, code });
    expect(g.run(g.driver.invalidate([0x30n, 0n])).ok).toBe(false);
    expect(g.log.slice(2)).toEqual(more);
    expect(g.log[1]).toContain(name);
    expect(g.smmu.take()).toEqual(['GERRORN=0x1', 'TLBI_NSNH_ALL', 'SYNC']);
  });

  it('an error that never ends is given up as a time-out', () => {
    const g = booted();
    for (let i = 0; i < 100; i++) g.smmu.errors.push({ opcode: NSNH_ALL, code: 2 });
    const r = g.run(g.driver.invalidate([0x30n, 0n]));
    expect(r.text).toContain('CMD_SYNC timeout at 0x00000005 [hwprod 0x00000006, hwcons 0x00000004]');
  });

  it('a consumer that stands still: CMD_SYNC times out, then the ring is full', () => {
    const g = booted();
    g.smmu.stuck = true;
    const r = g.run(g.driver.invalidate([0x30n, 0n]));
    expect(r).toEqual({
      ok: false,
      text: 'command sent; CMD_SYNC timeout at 0x00000005 [hwprod 0x00000006, hwcons 0x00000004]',
    });
    const { size } = g.driver.views().cmdq!;
    let full: string | undefined;
    for (let i = 0; i < size / 2 && !full; i++) {
      const { text } = g.run(g.driver.invalidate([0x30n, 0n]));
      if (text.includes('CMDQ timeout')) full = text;
    }
    expect(full).toBe('command sent; CMDQ timeout');
    // Nothing was overwritten: the consumer finds all it has missed.
    g.smmu.stuck = false;
    g.smmu.take();
    g.run(g.smmu.writeVirtual('CMDQ_PROD', g.smmu.registers['CMDQ_PROD']!));
    const seen = g.smmu.take();
    expect(seen).toHaveLength(size);
    expect(seen.every((s, i) => s === (i % 2 === 0 ? 'TLBI_NSNH_ALL' : 'SYNC'))).toBe(true);
    g.ok(g.driver.invalidate([0x10n, 0n]));
    expect(g.smmu.take()).toEqual(['TLBI_NH_ALL vmid 0', 'SYNC']);
  });
});

describe('the other global errors', () => {
  const raise = (bits: bigint) => {
    const g = booted();
    g.smmu.registers['GERROR'] = bits;
    g.smmu.irq.gerror = true;
    g.run(g.driver.interrupt());
    return { log: g.log, seen: g.smmu.take(), irq: g.smmu.irq };
  };

  it.each([
    [0x4n, 'EVTQ write aborted -- events may have been lost'],
    [0x8n, 'PRIQ write aborted -- events may have been lost'],
    [0x10n, 'CMDQ MSI write aborted'],
    [0x20n, 'EVTQ MSI write aborted'],
    [0x40n, 'PRIQ MSI write aborted'],
    [0x80n, 'GERROR MSI write aborted'],
  ])('0x%x is said and acknowledged', (bits, text) => {
    const { log, seen, irq } = raise(bits);
    expect(log).toEqual([warning(Number(bits)), text]);
    expect(seen).toEqual([`GERRORN=0x${bits.toString(16)}`]);
    expect(irq.gerror).toBe(false);
  });

  it('service failure switches the SMMU off', () => {
    const { log, seen } = raise(0x104n);
    expect(log).toEqual([
      warning(0x104),
      'device has entered Service Failure Mode!',
      'EVTQ write aborted -- events may have been lost',
    ]);
    expect(seen).toEqual(['CR0=0x0', 'GERRORN=0x104']);
  });

  it('a bit it does not know is none of its business', () => {
    expect(raise(0x2n)).toMatchObject({ log: [], seen: [] });
    expect(raise(0x202n)).toMatchObject({ log: [], seen: [] });
  });
});

describe('probe with more than QEMU has', () => {
  const sequence = (o: RecorderOptions): string[] => {
    const g = guestOnRecorder(o);
    g.ok(g.driver.boot());
    return g.smmu.take().map((s) => s.replace(/(BASE=).*/, '$1'));
  };

  it('a PRI queue', () => {
    const list = sequence({ pri: true, ats: true });
    const at = list.indexOf('PRIQ_BASE=');
    expect(list.slice(at - 1, at + 4)).toEqual(['CR0=0xc', 'PRIQ_BASE=', 'PRIQ_PROD=0x0', 'PRIQ_CONS=0x0', 'CR0=0xe']);
    expect(list.slice(-7)).toEqual([
      'CR0=0x1e',
      'IRQ_CTRL=0x0',
      'GERROR_IRQ_CFG0=0x0',
      'EVENTQ_IRQ_CFG0=0x0',
      'PRIQ_IRQ_CFG0=0x0',
      'IRQ_CTRL=0x7',
      'CR0=0x1f',
    ]);
  });

  it('EL2: one TLBI more, but a guest kernel has no E2H', () => {
    const list = sequence({ hyp: true });
    expect(list.slice(list.indexOf('CFGI_ALL'), list.indexOf('CFGI_ALL') + 6)).toEqual([
      'CFGI_ALL',
      'SYNC',
      'TLBI_EL2_ALL',
      'SYNC',
      'TLBI_NSNH_ALL',
      'SYNC',
    ]);
    expect(list).toContain('CR2=0x6');
  });

  it('attribute override: SHCFG where stage 1 is passed by', () => {
    const g = guestOnRecorder({
      override: true,
      ssidBits: 8,
      devices: [{ name: 'nic0', vrid: 8, pasidBits: 8, atsCapable: false }],
    });
    g.ok(g.driver.boot());
    const dw1 = () => g.memory.readWord(g.driver.views().devices[0]!.steAddress + 8);
    // Two words now: 2 syncs, the KUnit case abort_to_bypass.
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'bypass' })).filter((s) => s === 'SYNC')).toHaveLength(2);
    expect(dw1()).toBe(1n << 44n);
    // s1dssbypass_to_stebypass and back: 2 each.
    const attach = g.driver.attach({ device: 'nic0', domain: 'dma0', pasid: 1 });
    expect(g.sent(attach).filter((s) => s.startsWith('CFGI_STE'))).toHaveLength(2);
    expect(dw1()).toBe((1n << 44n) | 0xd5n);
    expect(g.sent(g.driver.detach({ device: 'nic0', pasid: 1 })).filter((s) => s.startsWith('CFGI_STE'))).toHaveLength(
      2,
    );
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    expect(dw1()).toBe(0xd6n);
  });

  it('an SMMU that runs already is made to abort first', () => {
    const g = guestOnRecorder();
    g.smmu.registers['CR0'] = 1n;
    g.ok(g.driver.boot());
    expect(g.smmu.take().slice(0, 2)).toEqual(['GBPA=0x80100000', 'CR0=0x0']);
  });

  it.each([
    ['neither stage', 0x0d441018n, 0x02730010n, 'no translation support!'],
    ['a queue of 64 commands', 0x0d44101an, 0x00d30010n, 'unsupported number of entries in the command queue'],
    ['no AArch64 tables', 0x0d441016n, 0x02730010n, 'AArch64 table format not supported!'],
    ['tables that hardware presets', 0x0d44101an, 0x42730010n, 'embedded implementation not supported'],
    ['reserved endianness', 0x0d24101an, 0x02730010n, 'unknown/unsupported TT endianness!'],
  ])('gives up on %s', (_what, idr0, idr1, text) => {
    const g = guestOnRecorder();
    g.smmu.registers['IDR0'] = idr0;
    g.smmu.registers['IDR1'] = idr1;
    expect(g.run(g.driver.boot())).toEqual({
      ok: false,
      errno: 'ENXIO',
      text: `the guest's SMMU driver gives up: ${text}`,
    });
    expect(g.smmu.take()).toEqual([]);
  });

  it('gives up on an SMMU that does not acknowledge, and may try again', () => {
    const g = guestOnRecorder();
    const { writeVirtual } = g.smmu;
    g.smmu.writeVirtual = function* (reg, value) {
      if (reg !== 'CR0') yield* writeVirtual.call(g.smmu, reg, value);
      else g.smmu.registers['CR0ACK'] = 0x100n;
    };
    expect(g.run(g.driver.boot())).toMatchObject({ text: "the guest's SMMU driver gives up: failed to clear cr0" });
    g.smmu.writeVirtual = writeVirtual;
    expect(g.run(g.driver.boot()).ok).toBe(true);
  });
});
