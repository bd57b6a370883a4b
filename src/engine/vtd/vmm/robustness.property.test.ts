import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeDescriptor } from '../layout/index.ts';
import { realMachine } from './fixtures/real-machine.ts';

const [QUEUE, ROOT, CONTEXT, PRQ] = [0x40000000, 0x40100000, 0x40101000, 0x40200000];
/** Directory of a device, and the one PASID table that its first entry names. */
const directory = (vrid: number): number => 0x40300000 + vrid * 0x20000;
const table = (vrid: number): number => 0x40a00000 + vrid * 0x1000;
const SLOTS = 128;

const vrid = fc.constantFrom(0x18, 0x20);
const pasid = fc.constantFrom(0, 1, 5);
const did = fc.constantFrom(2, 3);
const word64 = fc.bigInt(0n, 2n ** 64n - 1n);
const descriptor = fc.oneof(
  fc.record({ name: fc.constant('PC_INV'), G: fc.nat(3), DID: did, PASID: pasid }),
  fc.record({
    name: fc.constant('P_IOTLB_INV'),
    G: fc.constantFrom(0, 2, 2, 3, 3, 3),
    DID: did,
    PASID: pasid,
    AM: fc.nat(20),
    IH: fc.nat(1),
  }),
  fc.record({ name: fc.constant('CC_INV'), G: fc.nat(3), SID: vrid }),
  fc.record({ name: fc.constant('IOTLB_INV'), G: fc.nat(3), DID: did }),
  fc.record({
    name: fc.constant('PAGE_GRP_RESP'),
    PP: fc.nat(1),
    RID: vrid,
    PASID: pasid,
    PRGI: fc.nat(3),
    RC: fc.nat(15),
  }),
  fc.record({ name: fc.constantFrom('INV_WAIT', 'IEC_INV', 'DEV_TLB_INV', 'P_DEV_TLB_INV') }),
);
const words = fc.oneof(
  { weight: 8, arbitrary: descriptor.map(({ name, ...fields }) => encodeDescriptor(name, fields)) },
  { weight: 1, arbitrary: fc.tuple(word64, word64, word64, word64).map((w) => [...w]) },
);
const entry = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .record({ did, table: fc.constantFrom(0x41000000n, 0x42000000n, 0x42000013n, 2n ** 40n) })
      .map((e) => [0x49n, BigInt(e.did), e.table]),
  },
  { weight: 2, arbitrary: fc.constantFrom([0n, 0n, 0n], [0x109n, 1n, 0n], [0x48n, 2n, 0x41000000n], [0xc9n, 2n, 0n]) },
  { weight: 1, arbitrary: fc.tuple(word64, word64, word64).map((w) => [...w]) },
);
const bindings = fc.record({ do: fc.constant('bind' as const), vrid, pasid, words: entry });
const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('post' as const), words: fc.array(words, { minLength: 1, maxLength: 4 }) }),
  },
  { weight: 8, arbitrary: bindings },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('entry' as const), vrid, pasid, words: entry }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      reg: fc.constantFrom(
        'GCMD_REG',
        'RTADDR_REG',
        'IQA_REG',
        'IQT_REG',
        'CCMD_REG',
        'IOTLB_REG',
        'FSTS_REG',
        'PQA_REG',
        'PQH_REG',
        'PRS_REG',
        'FECTL_REG',
        'FRCD_REG0_HI',
        'NONE',
      ),
      value: fc.oneof(
        fc.constantFrom(
          0n,
          0x04000000n,
          0x84000000n,
          0xc4000000n,
          0x44000000n,
          BigInt(ROOT),
          BigInt(ROOT) | 0x400n,
          0x40000801n,
          1n << 63n,
        ),
        word64,
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('pri' as const),
      device: fc.nat(1),
      pasid: fc.constantFrom(-1, 1, 5),
      group: fc.nat(3),
      last: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('plug' as const, 'unplug' as const),
      device: fc.constantFrom('nic0', 'nic1'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom('reset' as const, 'events' as const, 'setUp' as const, 'setUp' as const),
    }),
  },
);

describe('whatever a guest does', () => {
  it.each([
    ['terminated', 1],
    ['forwarded', 5],
  ] as const)(
    'pageFaults %s, batch %i: the queue ends or says why, and unplugging frees every object',
    (pageFaults, batch) => {
      fc.assert(
        fc.property(fc.array(action, { maxLength: 25 }), (actions) => {
          const m = realMachine({
            devices: [
              { name: 'nic0', rid: 0x3b00, vrid: 0x18, ats: true, pri: true, pasidBits: 20 },
              { name: 'nic1', rid: 0x3b08, vrid: 0x20, ats: true, pri: true, pasidBits: 8 },
            ],
            pageFaults,
            batch,
          });
          const { vmm, memory } = m.guests[0]!;
          const write = (reg: string, value: bigint | number): void => m.run(vmm.writeVirtual(reg, BigInt(value)));
          const num = (reg: string): number => Number(vmm.readVirtual(reg));
          const failures: string[] = [];
          const reported = (): void => {
            failures.push(...vmm.state.errors.filter((e) => /failed to free|default HW|Detaching/.test(e)));
            vmm.state.errors = [];
          };
          const put = (at: number, w: readonly bigint[]): void => {
            for (const [i, word] of w.entries()) memory.writeWord(at + i * 8, word);
          };
          /** As a driver does: queue on, post, ring, and replace a descriptor that stops the queue by a wait. */
          const post = (descriptors: readonly (readonly bigint[])[]): void => {
            const s = vmm.units[0]!.state;
            if (!s.qiEnabled || s.iq !== QUEUE || !s.iqWide || s.iqSize !== SLOTS * 2) return;
            let tail = s.iqHead;
            for (const w of descriptors) {
              put(QUEUE + tail * 32, w);
              tail = (tail + 1) % (SLOTS * 2);
            }
            write('FSTS_REG', 0x10);
            write('IQT_REG', tail * 32);
            for (let i = 0; i < SLOTS && num('FSTS_REG') & 0x10; i++) {
              put(QUEUE + s.iqHead * 32, [0x45n, 0n, 0n, 0n]);
              write('FSTS_REG', 0x10);
              write('IQT_REG', tail * 32);
            }
            expect(num('IQH_REG')).toBe(tail * 32);
          };
          const setUp = (): void => {
            write('IQT_REG', 0);
            write('IQA_REG', QUEUE | 0x801);
            write('RTADDR_REG', ROOT | 0x400);
            write('PQA_REG', PRQ);
            write('GCMD_REG', 0x44000000);
            write('GCMD_REG', 0x84000000);
          };
          put(ROOT, [BigInt(CONTEXT) | 1n, 0n]);
          for (const v of [0x18, 0x20]) {
            put(CONTEXT + v * 32, [BigInt(directory(v)) | 0x01dn, 0n, 0n, 0n]);
            put(directory(v), [BigInt(table(v)) | 1n]);
          }
          for (const p of [0, 1]) put(table(0x18) + p * 64, [0x49n, 2n, 0x41000000n]);
          m.run(vmm.start());
          m.run(vmm.plug('nic0'));
          setUp();
          for (const a of actions) {
            switch (a.do) {
              case 'post':
                post(a.words);
                break;
              case 'bind':
                put(table(a.vrid) + a.pasid * 64, a.words);
                post([encodeDescriptor('PC_INV', { G: 3 })]);
                break;
              case 'entry':
                put(table(a.vrid) + a.pasid * 64, a.words);
                break;
              case 'write':
                write(a.reg, a.value);
                break;
              case 'pri':
                m.run(m.unit.pri(m.devices[a.device]!, a.pasid, 0x5000n, { read: true, write: true }, a.group, a.last));
                m.run(m.driver.interrupt());
                m.run(vmm.pollEvents());
                break;
              case 'plug':
                m.run(vmm.plug(a.device));
                break;
              case 'unplug':
                m.run(vmm.unplug(a.device));
                break;
              case 'reset':
                m.run(vmm.reset());
                setUp();
                break;
              case 'setUp':
                setUp();
                break;
              case 'events':
                m.run(m.driver.interrupt());
                m.run(vmm.pollEvents());
                break;
            }
            reported();
          }
          // A snapshot in between changes nothing.
          vmm.load(vmm.save());
          for (const d of ['nic0', 'nic1']) m.run(vmm.unplug(d));
          reported();
          expect(failures).toEqual([]);
          expect(m.iommufd.objects().map((o) => o.type)).toEqual(['IOAS']);
        }),
        { numRuns: 20 },
      );
    },
  );
});
