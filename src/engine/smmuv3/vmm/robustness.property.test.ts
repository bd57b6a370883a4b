import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeCommand } from '../layout/index.ts';
import { realMachine } from './real-machine.ts';

const QUEUE = 0x40000000;
const TABLE = 0x40100000;
const LOG2 = 4;
const SPAN = 2 ** (LOG2 + 1);

const sid = fc.constantFrom(8, 0x10, 9);
const command = fc.oneof(
  fc.record({
    name: fc.constantFrom('CFGI_STE', 'CFGI_CD', 'CFGI_CD_ALL', 'ATC_INV', 'STALL_TERM', 'RESUME'),
    SID: sid,
  }),
  fc.record({ name: fc.constantFrom('CFGI_STE_RANGE'), SID: sid, Range: fc.nat(31) }),
  fc.record({ name: fc.constantFrom('TLBI_NH_ALL', 'TLBI_NSNH_ALL', 'SYNC', 'TLBI_S12_VMALL', 'PREFETCH_ADDR') }),
  fc.record({ name: fc.constantFrom('TLBI_NH_ASID', 'TLBI_NH_VA'), ASID: fc.nat(3) }),
);
const words = fc.oneof(
  { weight: 6, arbitrary: command.map(({ name, ...fields }) => encodeCommand(name, fields)) },
  { weight: 1, arbitrary: fc.tuple(fc.bigInt(0n, 2n ** 64n - 1n), fc.bigInt(0n, 2n ** 64n - 1n)).map((w) => [...w]) },
);
const ste = fc.oneof(
  fc.constantFrom(
    [0n, 0n],
    [1n, 0n],
    [9n, 0n],
    [0xdn, 0n],
    [0x4810000bn, 0xd6n],
    [0x4820000bn, 0x100000d6n],
    [11n, 2n << 28n],
  ),
  fc.tuple(fc.bigInt(0n, 2n ** 64n - 1n), fc.bigInt(0n, 2n ** 64n - 1n)).map((w) => [...w]),
);
const translating = fc.constantFrom([0x4810000bn, 0xd6n], [0x4820000bn, 0x100000d6n]);
const nic = fc.constantFrom('nic0', 'nic1');
const action = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('post' as const), words: fc.array(words, { minLength: 1, maxLength: 4 }) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('ste' as const), sid, words: ste }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('install' as const), sid, words: translating }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      reg: fc.constantFrom('CR0', 'GBPA', 'GERRORN', 'EVENTQ_BASE', 'EVENTQ_CONS', 'STRTAB_BASE_CFG', 'IRQ_CTRL'),
      value: fc.oneof(fc.constantFrom(0n, 8n, 0xdn, 0x80000000n, 0x80100000n), fc.bigInt(0n, 2n ** 64n - 1n)),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('plug' as const, 'unplug' as const), device: nic }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('reset' as const, 'events' as const) }),
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
              { name: 'nic0', rid: 0x108, vrid: 8, ats: true, stall: true },
              { name: 'nic1', rid: 0x110, vrid: 0x10 },
            ],
            features: { STALL_MODEL: 0 },
            pageFaults,
            batch,
          });
          const { vmm, memory } = m.guests[0]!;
          m.run(vmm.start());
          m.run(vmm.plug('nic0'));
          const write = (reg: string, value: bigint): void => m.run(vmm.writeVirtual(reg, value));
          const num = (reg: string): number => Number(vmm.readVirtual(reg));
          const failures: string[] = [];
          const reported = (): void => {
            failures.push(...vmm.state.errors.filter((e) => /failed to free|default HW|page response/.test(e)));
            vmm.state.errors = [];
          };
          /** As a driver does: post, ring, and replace a command that stops the queue by a CMD_SYNC. */
          const post = (commands: readonly bigint[][]): void => {
            let prod = num('CMDQ_PROD') % SPAN;
            for (const w of commands) {
              put(prod, w);
              prod = (prod + 1) % SPAN;
            }
            write('CMDQ_BASE', BigInt(QUEUE + LOG2));
            write('CMDQ_PROD', BigInt(prod));
            for (let i = 0; i < SPAN && (num('GERROR') ^ num('GERRORN')) & 1; i++) {
              put(num('CMDQ_CONS') % SPAN, [0x46n, 0n]);
              write('GERRORN', vmm.readVirtual('GERROR'));
            }
            if (num('CR0') & 8) expect(num('CMDQ_CONS') % SPAN).toBe(prod);
          };
          const put = (position: number, w: readonly bigint[]): void => {
            const at = QUEUE + (position % 2 ** LOG2) * 16;
            memory.writeWord(at, w[0]!);
            memory.writeWord(at + 8, w[1]!);
          };
          write('CMDQ_BASE', BigInt(QUEUE + LOG2));
          write('STRTAB_BASE', BigInt(TABLE));
          write('STRTAB_BASE_CFG', 8n);
          write('CR0', 0xdn);
          for (const a of actions) {
            switch (a.do) {
              case 'post':
                post(a.words);
                break;
              case 'install':
                for (const [i, w] of a.words.entries()) memory.writeWord(TABLE + a.sid * 64 + i * 8, w);
                post([encodeCommand('CFGI_STE', { SID: a.sid, Leaf: 1 })]);
                break;
              case 'ste':
                for (const [i, w] of a.words.entries()) memory.writeWord(TABLE + a.sid * 64 + i * 8, w);
                break;
              case 'write':
                write(a.reg, a.value);
                break;
              case 'plug':
                m.run(vmm.plug(a.device));
                break;
              case 'unplug':
                m.run(vmm.unplug(a.device));
                break;
              case 'reset':
                m.run(vmm.reset());
                write('STRTAB_BASE_CFG', 8n);
                write('CR0', 0xdn);
                break;
              case 'events':
                m.run(vmm.pollEvents());
                break;
            }
            reported();
          }
          for (const d of ['nic0', 'nic1']) m.run(vmm.unplug(d));
          reported();
          expect(failures).toEqual([]);
          expect(m.iommufd.objects().map((o) => o.type)).toEqual(['IOAS']);
        }),
        { numRuns: 40 },
      );
    },
  );
});
