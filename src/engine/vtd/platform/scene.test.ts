import { beforeAll, describe, expect, it } from 'vitest';
import { play } from '../../document/fixtures/played.ts';
import type { Session } from '../../document/index.ts';
import { loadVendors } from '../../machine/vendors.ts';
import { documents } from './fixtures/documents.ts';

await loadVendors(['vtd']);

describe('one page table for each (RID, PASID), from the guest to the hardware', () => {
  let session: Session;
  beforeAll(() => {
    session = play(documents.pasids);
  });
  const objects = (step = 6) => session.platformAt(step).scene([]).objects;
  const byId = (id: string) => objects().find((o) => o.id === id)!;
  const ofType = (type: string, band: string) => objects().filter((o) => o.type === type && o.band === band);

  it('the guest has a PASID entry for each, that leads to a table', () => {
    expect(ofType('PASID entry', 'guest').map((o) => [o.title, o.lines[0], o.refs[0]?.to])).toEqual([
      ['vPASID entry 0x0', 'FS only · DID 2', 'guest.fs.dma0'],
      ['vPASID entry 0x5', 'FS only · DID 3', 'guest.fs.queue5'],
    ]);
    expect(byId('guest.context.0x8').refs).toEqual([
      { to: 'guest.pasid.0x8.0x0', label: 'PASID 0x0' },
      { to: 'guest.pasid.0x8.0x5', label: 'PASID 0x5' },
    ]);
  });

  it('the VMM binds a nested page table to each, and the kernel says whose it is', () => {
    expect(byId('vmm.devices').lines).toEqual(['00:01.0 PASID 0x0 → 4, 0x5 → 5']);
    expect(
      byId('vmm.viommu')
        .refs.map((r) => `${r.label} ${r.to}`)
        .sort(),
    ).toEqual(['PASID 0x0 kernel.obj.4', 'PASID 0x5 kernel.obj.5']);
    expect(ofType('HWPT_NESTED', 'kernel').map((o) => [o.lines[0], o.refs[0]?.to, o.device])).toEqual([
      ['PASID 0x0 · DID 2', 'kernel.obj.3', 'nic0'],
      ['PASID 0x5 · DID 3', 'kernel.obj.3', 'nic0'],
    ]);
    expect(byId('kernel.driver').lines[0]).toBe('2 DIDs, 8 tags');
  });

  it('the hardware has a PASID entry for each with both stages, and caches under their tags', () => {
    const guest = ofType('PASID entry', 'guest').map((o) => o.lines[1]);
    const host = ofType('PASID entry', 'hardware');
    // FSPTPTR passes from the guest's entry to the host's as it is: it is a guest physical address.
    expect(host.map((o) => o.lines)).toEqual([
      ['nested · DID 2', guest[0]],
      ['nested · DID 3', guest[1]],
    ]);
    expect(byId('hw.iotlb').cache!.rows.map((r) => r.cells.slice(0, 3))).toEqual([
      ['2', '0x0', 'nested'],
      ['3', '0x5', 'nested'],
    ]);
    expect(byId('hw.pasid').cache!.rows).toHaveLength(2);
  });

  it('a table that is made and not attached yet stands with its device already', () => {
    const { events } = session.steps[1]!;
    const made = events.findIndex((e) => e.kind === 'object.create');
    const o = session
      .platformAt(1, made + 1)
      .scene([])
      .objects.find((x) => x.type === 'HWPT_NESTED');
    expect(o).toMatchObject({ device: 'nic0', lines: ['not attached', expect.stringMatching(/^FS 0x/)] });
  });

  it('the inspector shows the words of both kernels, and what the VMM has bound', () => {
    const p = session.platformAt(6);
    const host = p.inspect('hw.pasid.0x100.0x5')!;
    expect(host.records.map((r) => [r.layout.id, r.space])).toEqual([
      ['vtd.pasid', 'host'],
      ['vtd.pasiddir', 'host'],
      ['vtd.context', 'host'],
    ]);
    const guest = p.inspect('guest.pasid.0x8.0x5')!;
    const bound = p.inspect('vmm.devices')!.records.find((r) => r.title.startsWith('nic0 PASID 0x5'))!;
    expect(bound.words).toEqual(guest.records[0]!.words);
    expect(p.inspect('hw.root')!.records.map((r) => r.layout.id)).toEqual(['vtd.reg.rtaddr_reg', 'vtd.context']);
    expect(p.inspect('kernel.obj.5')!.records[0]!.layout.id).toBe('vtd.uapi.s1');
  });
});
