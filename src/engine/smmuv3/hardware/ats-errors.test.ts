import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { encodeCommand, eventName } from '../layout/index.ts';
import { CD, OFFSET, TestMachine, VA, withIdr } from './test-machine.ts';

const EVTQ = 0x300_0000;

/** How to make an ordinary transaction of the stream end in each error. */
const errors: Readonly<Record<string, (m: TestMachine) => number>> = {
  C_BAD_STREAMID: (m) => {
    runToEnd(m.smmu.writeRegister('STRTAB_BASE_CFG', 4n));
    return -1;
  },
  F_STE_FETCH: (m) => {
    runToEnd(m.smmu.writeRegister('STRTAB_BASE', 0xffff_ff00_0000n));
    return -1;
  },
  C_BAD_STE: (m) => {
    m.write(m.steAddress, 0n);
    return -1;
  },
  C_BAD_SUBSTREAMID: () => 5,
  C_BAD_CD: (m) => {
    m.write(CD + OFFSET, 0n);
    return -1;
  },
  F_CD_FETCH: (m) => {
    m.write(m.s2Leaf(CD), 0x7fff_ffff_f7ffn);
    return -1;
  },
  F_WALK_EABT: (m) => {
    m.write(m.s2Leaf(m.s1Entry(3)), 0x7fff_ffff_f7ffn);
    return -1;
  },
  F_TRANSLATION: (m) => {
    m.write(m.s1Entry(3) + OFFSET, 0n);
    return -1;
  },
};

/** Runs a request with CR2 as given. @returns name of the recorded event, '' when there is none */
function recorded(error: string, cr2: number, translated: boolean): string {
  const m = new TestMachine({
    n1: 4,
    n2: 4,
    twoLevelSte: false,
    twoLevelCd: false,
    ste: { Config: 7 },
    override: withIdr({ IDR0: { ATSRECERR: 1 } }),
  });
  runToEnd(m.smmu.writeRegister('CR0', 0n));
  runToEnd(m.smmu.writeRegister('CR2', BigInt(cr2)));
  const pasid = errors[error]!(m);
  runToEnd(m.smmu.writeRegister('CR0', 0x1dn));
  if (translated) {
    // An ATC entry that the device has from elsewhere.
    const data = { attr: 3, level: 3, granule: 12, sid: 0x108, ssid: -1, ipaHi: 0, ipaLo: 0 };
    m.device.atc.insert(0, pasid < 0 ? 0x100000 : pasid, 0, VA & ~0xfff, 12, 12, 0, 0x9000_0000 | 0, data);
  }
  const r = m.access({ translated: true, pasid });
  if (!(translated && ['C_BAD_SUBSTREAMID', 'C_BAD_CD', 'F_CD_FETCH', 'F_WALK_EABT', 'F_TRANSLATION'].includes(error)))
    expect(r.ok, error).toBe(false);
  if (m.smmu.readRegister('EVENTQ_PROD') === 0n) return '';
  return eventName(Number(m.memory.readWord(EVTQ) & 0xffn));
}

const REC_CFG_ATS = 8;
const RECINVSID = 2;

describe('errors of translation requests, Arm IHI 0070 3.9.1.2', () => {
  it('are recorded only with CR2.REC_CFG_ATS, and C_BAD_STREAMID only with RECINVSID too', () => {
    for (const error of Object.keys(errors)) {
      const base = recorded(error, RECINVSID, false);
      const all = recorded(error, RECINVSID | REC_CFG_ATS, false);
      const some = recorded(error, REC_CFG_ATS, false);
      expect(base, error).toBe('');
      // A fault of translation is a completion without permission, never an event.
      expect(all, error).toBe(error === 'F_TRANSLATION' ? '' : error);
      expect(some, error).toBe(error === 'F_TRANSLATION' || error === 'C_BAD_STREAMID' ? '' : error);
    }
  });
});

describe('errors of translated transactions, Arm IHI 0070 3.9.1.3', () => {
  it('are recorded only with CR2.REC_CFG_ATS, whatever RECINVSID says', () => {
    for (const error of ['C_BAD_STREAMID', 'F_STE_FETCH', 'C_BAD_STE']) {
      expect(recorded(error, RECINVSID, true), error).toBe('');
      expect(recorded(error, REC_CFG_ATS, true), error).toBe(error);
      expect(recorded(error, 0, true), error).toBe('');
    }
  });
});

describe('an invalidation request to a device that is being reset', () => {
  it('gets no answer, so that the next CMD_SYNC ends in an error, 3.9.1.4', () => {
    const m = new TestMachine({ n1: 4, n2: 4, twoLevelSte: false, twoLevelCd: false });
    const run = (name: string, fields: Record<string, number>): number => {
      const w = encodeCommand(name, fields);
      const half = (x: bigint, s: bigint): number => Number((x >> s) & 0xffffffffn) | 0;
      return m.smmu.execute(half(w[0]!, 0n), half(w[0]!, 32n), half(w[1]!, 0n), half(w[1]!, 32n));
    };
    m.device.inReset = true;
    expect([run('ATC_INV', { SID: 0x108, Size: 52 }), run('SYNC', {}), run('SYNC', {})]).toEqual([0, 3, 0]);
    m.device.inReset = false;
    expect([run('ATC_INV', { SID: 0x108, Size: 52 }), run('SYNC', {})]).toEqual([0, 0]);
  });
});
