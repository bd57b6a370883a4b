import { describe, expect, it } from 'vitest';
import { checkScenario } from '../../document/authoring.ts';
import { Session } from '../../document/index.ts';
import { loadVendors } from '../../machine/vendors.ts';

await loadVendors(['vtd']);

/** Plays a document on the whole machine. @returns what each step did not do as it should */
function play(steps: readonly object[], platform: object = {}, device: object = {}): string[] {
  const r = checkScenario({
    format: 'iommuscope/1',
    title: 'guest on a whole machine',
    platform: { iommu: 'vtd', memory: '4GiB', ...platform },
    devices: [{ name: 'nic0', rid: '0000:3b:00.0', vrid: '0000:00:03.0', ats: false, ...device }],
    steps,
  });
  if (!r.ok) throw new Error(`${r.error.path}: ${r.error.message}`);
  const s = new Session(r.document);
  s.runAll();
  return s.steps.flatMap((x, i) => x.failures.map((f) => `${i} ${x.operation.do}: ${JSON.stringify(f)}`));
}

const attach = { do: 'guest.attach', device: 'nic0', domain: 'dma0' };
const map = { do: 'guest.map', domain: 'dma0', iova: '0xfffff000', gpa: '0x40200000' };
const dma = { do: 'device.dma', device: 'nic0', iova: '0xfffff000' };
const unmap = { do: 'guest.unmap', domain: 'dma0', iova: '0xfffff000' };

describe('a guest behind QEMU', () => {
  it('9.5: one page is unmapped: one descriptor and a wait, one ioctl, one P_IOTLB on the host', () => {
    expect(
      play([
        attach,
        map,
        { ...dma, expect: { hit: 'walk' } },
        {
          ...unmap,
          expect: {
            ioctls: 1,
            stale: 0,
            commands: [{ name: 'P_IOTLB_INV', DID: 2, PASID: 0, ADDR: '0xfffff000', AM: 0, IH: 1 }, 'INV_WAIT'],
          },
        },
        { ...dma, expect: { fault: 'SFS.2' } },
      ]),
    ).toEqual([]);
  });

  it('10.7, 9.9: a gigabyte a page off its alignment: QEMU refuses AM 19, and the IOTLB keeps its entries', () => {
    const big = { domain: 'dma0', iova: '0x1000', size: '1GiB' };
    expect(
      play(
        [
          attach,
          { do: 'guest.map', ...big, gpa: '0x40001000' },
          { do: 'device.dma', device: 'nic0', iova: '0x201000' },
          { do: 'guest.unmap', ...big, expect: { ok: false, ioctls: 0, stale: ['IOTLB'] } },
          { do: 'device.dma', device: 'nic0', iova: '0x201000', expect: { hit: 'IOTLB' } },
          // The queue lives: the guest's driver has put a wait where the refused descriptor was.
          { do: 'guest.attach', device: 'nic0', domain: 'dma1', expect: { stale: 0 } },
        ],
        { guest: { memory: '2GiB' } },
      ),
    ).toEqual([]);
  });

  it('and with a second PASID in the batch the guest’s CPU waits for ever', () => {
    const big = { domain: 'dma0', iova: '0x1000', size: '1GiB' };
    expect(
      play(
        [
          attach,
          { ...attach, pasid: 5 },
          { do: 'guest.map', ...big, gpa: '0x40001000' },
          { do: 'guest.unmap', ...big, expect: { ok: false } },
          { do: 'guest.attach', device: 'nic0', domain: 'dma1', expect: { ok: false } },
          // Another CPU may still map, but whoever submits waits too.
          { ...map, expect: { ok: true } },
          { ...unmap, expect: { ok: false } },
        ],
        { guest: { memory: '2GiB' } },
      ),
    ).toEqual([]);
  });

  it('each map costs an exit and an ioctl with guest.flush-after-map, and none without', () => {
    const steps = (exits: number, ioctls: number): object[] => [attach, { ...map, expect: { exits, ioctls } }];
    expect(play(steps(0, 0))).toEqual([]);
    expect(play(steps(1, 1), { deviations: ['guest.flush-after-map'] })).toEqual([]);
  });
});
