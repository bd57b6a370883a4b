import { describe, expect, it } from 'vitest';
import type { TraceEvent } from '../../engine/trace/index.ts';
import { exampleEvents } from '../topology/fixtures/events.ts';
import { eventText } from './text.ts';

describe('eventText', () => {
  it('says each event of an invalidation in one line', () => {
    expect(exampleEvents().map(eventText)).toEqual([
      'write 0x40123080 (guest memory): L3[16] invalid',
      'post TLBI_NH_VA vmid 0 asid 1 va 0x10000 leaf to virtual queue [6]',
      'write virtual CMDQ_PROD = 0x7',
      'trap on CMDQ_PROD',
      'fetch TLBI_NH_VA vmid 0 asid 1 va 0x10000 leaf from virtual queue [6]',
      'IOMMU_HWPT_INVALIDATE 1 entry',
      'rewrite TLBI_NH_VA: vmid 0 → 3',
      'post TLBI_NH_VA vmid 3 asid 1 va 0x10000 leaf to physical queue [41]',
      'write physical CMDQ_PROD = 0x2b',
      'fetch TLBI_NH_VA vmid 3 asid 1 va 0x10000 leaf from physical queue [41]',
      'remove IOTLB 3 1 0x1_0000 0x1_4020_0000 (by TLBI_NH_VA vmid 3 asid 1 va 0x10000)',
      'fetch SYNC from physical queue [42]',
      'sync CMD_SYNC done',
      'IOMMU_HWPT_INVALIDATE returns 0: 1 entry handled',
    ]);
  });

  it('has words for every kind, also with an empty text', () => {
    const at = { actor: 'iommu' as const, at: 'x' };
    const entry = { cache: 'ATC', id: 1, cells: ['', '0x1000', '0x2000'] };
    const record = { words: [0n], layout: 'smmuv3.event' };
    const cases: [TraceEvent, string][] = [
      [{ ...at, kind: 'register.read', iommu: 'physical', reg: 'CR0ACK', value: 13n }, 'read physical CR0ACK = 0xd'],
      [
        { ...at, kind: 'ioctl.exit', call: 'IOMMU_DESTROY', errno: 'EBUSY', output: {}, text: '' },
        'IOMMU_DESTROY returns -EBUSY',
      ],
      [
        { ...at, kind: 'ioctl.exit', call: 'IOMMU_X', errno: '0', output: {}, text: 'IOMMU_X ok: entry_num 1' },
        'IOMMU_X returns 0: entry_num 1',
      ],
      [{ ...at, kind: 'object.create', type: 'IOAS', id: 3, text: '' }, 'create IOAS 3'],
      [
        { ...at, kind: 'object.destroy', type: 'IOAS', id: 3, text: 'IOAS 3 with one area' },
        'destroy IOAS 3 with one area',
      ],
      [{ ...at, kind: 'attach', device: 'nic0', hwpt: 4, text: '' }, 'attach nic0 to HWPT 4'],
      [
        { ...at, kind: 'command.error', queue: 'physical', index: 2, error: 'CERROR_ILL', text: '' },
        'CERROR_ILL at physical queue [2]',
      ],
      [{ ...at, kind: 'cache.fill', entry }, 'fill ATC 0x1000 0x2000'],
      [{ ...at, kind: 'cache.hit', entry }, 'hit ATC 0x1000 0x2000'],
      [{ ...at, kind: 'cache.remove', entry, valid: true, by: '' }, 'remove ATC 0x1000 0x2000, still valid'],
      [
        { ...at, kind: 'dma', device: 'nic0', access: 'read', iova: 2n ** 63n, pasid: 0, text: '' },
        'nic0 reads 0x8000000000000000',
      ],
      [{ ...at, kind: 'dma.done', device: 'nic0', pa: 4096, text: '' }, 'nic0 reaches 0x1000'],
      [{ ...at, kind: 'dma.abort', device: 'nic0', text: '' }, 'nic0: access aborted'],
      [{ ...at, kind: 'ats', message: 'request', device: 'nic0', text: '' }, 'ATS request, nic0'],
      [
        { ...at, kind: 'fault', name: 'F_TRANSLATION', recorded: false, text: 'sid 0x100', ...record },
        'F_TRANSLATION sid 0x100 (not recorded)',
      ],
      [{ ...at, kind: 'guest.event', name: 'F_TRANSLATION', text: '', ...record }, 'guest receives F_TRANSLATION'],
      [{ ...at, kind: 'record.rewrite', changes: [], text: 'vSTE', ...record }, 'rewrite vSTE'],
      [{ ...at, kind: 'inject', point: 'host.command', action: 'drop', text: '' }, 'inject'],
      [{ ...at, kind: 'note', text: 'A note.' }, 'A note.'],
    ];
    for (const [e, text] of cases) expect(eventText(e)).toBe(text);
  });
});
