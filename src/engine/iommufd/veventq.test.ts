import { describe, expect, it } from 'vitest';
import { runToEnd } from '../machine/index.ts';
import { type Bed, bed, type Nest, nest, vste } from '../smmuv3/host/testbed.ts';
import { encodeEvent } from '../smmuv3/layout/index.ts';
import type { Veventq } from './objects.ts';

interface Set {
  readonly b: Bed;
  readonly n: Nest;
  readonly fd: number;
  readonly q: Veventq;
}

function set(depth: number): Set {
  const b = bed();
  const n = nest(b);
  b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
  const r = b.ioctl('IOMMU_VEVENTQ_ALLOC', { viommu_id: n.viommu, type: 1, veventq_depth: depth });
  b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: vste(b, n, 0x4810000bn, 0xd6n) }, n.fd);
  return { b, n, fd: Number(r.out['out_veventq_fd']), q: b.iommufd.object(`kernel.obj.${r.main}`) as Veventq };
}

function raise(s: Set, times = 1): void {
  for (let i = 0; i < times; i++) s.b.smmu.deliverEvent(encodeEvent('C_BAD_CD', { SID: 0x108 }));
  runToEnd(s.b.driver.interrupt());
}
/** `sequence`, or `sequence!` for the lost-events header. */
const read = (s: Set, count = 4096): string[] =>
  s.b.iommufd.read(s.fd, count).out.records.map((r) => `${r['sequence']}${r['flags'] ? '!' : ''}`);

/** The rules of iommufd-uapi.md 3.7, as a model of their own: a list of what a reader would see. */
class Model {
  queue: { sequence: number; lost: boolean }[] = [];
  sequence = 0;
  private readonly depth: number;

  constructor(depth: number) {
    this.depth = depth;
  }

  report(): void {
    if (this.queue.at(-1)?.lost) this.queue.pop();
    const lost = this.queue.length === this.depth;
    this.queue.push({ sequence: this.sequence, lost });
    this.sequence = (this.sequence + 1) % 2 ** 31;
  }

  read(count: number): string[] {
    const out: string[] = [];
    for (let room = count; this.queue[0]; ) {
      const size = this.queue[0].lost ? 8 : 40;
      if (size > room) break;
      room -= size;
      const r = this.queue.shift()!;
      out.push(`${r.sequence}${r.lost ? '!' : ''}`);
    }
    return out;
  }
}

describe('lost events', () => {
  it('one header at the tail, with the sequence of the newest loss', () => {
    const s = set(3);
    raise(s, 3);
    raise(s);
    raise(s, 5);
    expect(read(s)).toEqual(['0', '1', '2', '8!']);
    raise(s);
    expect(read(s)).toEqual(['9']);
  });

  it('a reader that frees room sees a jump in place of the header', () => {
    const s = set(2);
    raise(s, 4);
    expect(read(s, 40)).toEqual(['0']);
    raise(s);
    expect(read(s)).toEqual(['1', '4']);
  });

  it('reading the header alone leaves the count of waiting events right', () => {
    const s = set(1);
    raise(s, 2);
    expect(read(s, 40)).toEqual(['0']);
    expect(s.b.iommufd.read(s.fd, 8)).toEqual({
      errno: '0',
      out: { bytes: 8, records: [{ flags: 1, sequence: 1 }] },
    });
    expect(s.q.pending).toBe(0);
    raise(s, 2);
    expect(read(s)).toEqual(['2', '3!']);
  });

  it('the sequence wraps behind 2^31 - 1', () => {
    const s = set(8);
    s.q.sequence = 0x7ffffffe;
    raise(s, 3);
    expect(read(s)).toEqual(['2147483646', '2147483647', '0']);
  });

  it('agrees with the rules over any mixture of reports and reads', () => {
    const s = set(3);
    const model = new Model(3);
    let seed = 12345;
    const random = (n: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
      return (seed >>> 16) % n;
    };
    for (let i = 0; i < 400; i++) {
      if (random(3)) {
        raise(s);
        model.report();
      } else {
        const count = [40, 48, 80, 4096][random(4)]!;
        expect(read(s, count)).toEqual(model.read(count));
      }
    }
  });
});

describe('small reads', () => {
  it('an event that does not fit stays; less than a header is refused', () => {
    const s = set(4);
    raise(s, 2);
    expect(s.b.iommufd.read(s.fd, 7).errno).toBe('EINVAL');
    expect(s.b.iommufd.read(s.fd, 39)).toMatchObject({ errno: 'EINVAL', out: { bytes: 0 } });
    expect(s.b.iommufd.read(s.fd, 79).out.bytes).toBe(40);
    expect(s.b.iommufd.read(s.fd, 40).out.bytes).toBe(40);
    expect(s.b.iommufd.read(s.fd, 40)).toEqual({ errno: '0', out: { bytes: 0, records: [] } });
    expect(runToEnd(s.b.iommufd.write(s.fd, [])).errno).toBe('EINVAL');
  });
});

describe('several queues', () => {
  it('one of each type on a vIOMMU; each vIOMMU counts for itself', () => {
    const s = set(2);
    const { b, n } = s;
    const second = b.make('IOMMU_VIOMMU_ALLOC', { type: 1, dev_id: n.dev, hwpt_id: n.parent });
    const q = b.ioctl('IOMMU_VEVENTQ_ALLOC', { viommu_id: second, type: 1, veventq_depth: 9 });
    const other = b.ioctl('IOMMU_VEVENTQ_ALLOC', { viommu_id: n.viommu, type: 2, veventq_depth: 9 });
    raise(s, 3);
    expect(read(s)).toEqual(['0', '1', '2!']);
    for (const r of [q, other]) expect(b.iommufd.read(Number(r.out['out_veventq_fd']), 4096).out.bytes).toBe(0);
    // The device's vDEVICE moves to the other vIOMMU, and its events with the next attach.
    const vdev = b.iommufd.objects().find((o) => o.type === 'VDEVICE')!.object;
    b.make('IOMMU_DESTROY', { id: vdev });
    b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: second, dev_id: n.dev, virt_id: 0x10 });
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: vste(b, { ...n, viommu: second }, 0x4810000bn, 0xd6n) }, n.fd);
    raise(s);
    expect(read(s)).toEqual([]);
    expect(b.iommufd.read(Number(q.out['out_veventq_fd']), 4096).out.records).toMatchObject([
      { sequence: 0, evt: [0x100000000an, 0n, 0n, 0n] },
    ]);
  });

  it('without a queue the event stays with the host, and no number is spent', () => {
    const s = set(2);
    const b = s.b;
    runToEnd(b.iommufd.close(s.fd));
    b.make('IOMMU_DESTROY', { id: s.q.id });
    raise(s);
    expect(b.driver.state.log.at(-1)).toContain('C_BAD_CD');
    const r = b.ioctl('IOMMU_VEVENTQ_ALLOC', { viommu_id: s.n.viommu, type: 1, veventq_depth: 2 });
    raise(s);
    expect(b.iommufd.read(Number(r.out['out_veventq_fd']), 40).out.records).toMatchObject([{ sequence: 0 }]);
  });
});
