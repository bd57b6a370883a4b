import { describe, expect, it } from 'vitest';
import { operationForms, parseDocument, validateOperation } from '../../engine/document/authoring.ts';
import { loadVendors } from '../../engine/machine/vendors.ts';
import { commandLayout, commandLayouts } from '../../engine/smmuv3/layout/index.ts';
import { commandName, commandOf, initialValues, namesFor, readField, stepOfForm } from './form-values.ts';

await loadVendors(['smmuv3']);

const text = JSON.stringify({
  format: 'iommuscope/1',
  title: 'T',
  platform: { iommu: 'smmuv3' },
  devices: [{ name: 'nic0', rid: '0000:01:00.0' }],
  steps: [
    { do: 'memory.read', space: 'guest', at: '0x40200000' },
    { do: 'guest.map', iova: '0x7000', gpa: '0x40207000', size: '8KiB' },
  ],
});
const parsed = parseDocument(text);
if (!parsed.ok) throw new Error(parsed.error.message);
const doc = parsed.document;
const form = (name: string) => operationForms.find((f) => f.name === name)!;

describe('operation forms', () => {
  it('begin with what the last steps used', () => {
    expect(initialValues(form('guest.unmap'), doc, 2)).toMatchObject({ iova: '0x7000', size: '', flush: '' });
    expect(initialValues(form('guest.unmap'), doc, 0)).toMatchObject({ iova: '0x10000' });
    expect(initialValues(form('device.dma'), doc, 2)).toMatchObject({ device: 'nic0', iova: '0x7000' });
  });

  it('run as they stand wherever nothing must be chosen', () => {
    for (const name of [
      'guest.attach',
      'guest.map',
      'guest.unmap',
      'guest.flush',
      'device.dma',
      'device.ats',
      'vmm.map',
      'inject',
    ]) {
      const { step, errors } = stepOfForm(form(name), initialValues(form(name), doc, 2), null);
      expect([name, [...errors]]).toEqual([name, []]);
      expect(validateOperation(step, { document: doc }), name).toMatchObject({ ok: true });
    }
  });

  it('say beside the field what is wrong', () => {
    const dma = form('device.dma');
    const errors = (values: Record<string, string>) => [
      ...stepOfForm(dma, { ...initialValues(dma, doc, 2), ...values }, null).errors.entries(),
    ];
    expect(errors({ iova: 'abc', length: '0' })).toEqual([
      ['iova', 'a number is needed: 4096, 0x1000 or 4KiB'],
      ['length', 'at least 1'],
    ]);
    expect(errors({ iova: '' })).toEqual([['iova', 'needed']]);
    expect(errors({ iova: '0x1_0000_0000_0000_0000' })).toEqual([['iova', 'at most 0xffffffffffffffff']]);
    expect(readField(form('guest.invalidate').fields.find((f) => f.name === 'bytes')!, '12 3').ok).toBe(false);
  });

  it('build commands from the layouts', () => {
    const l = commandLayouts.find((x) => commandName(x) === 'TLBI_NH_VA')!;
    const { command, errors } = commandOf(l, { ASID: '1', Address: '0x10000', Leaf: '1', VMID: '' });
    expect([...errors]).toEqual([]);
    expect(command).toEqual({ name: 'TLBI_NH_VA', ASID: 1, Address: '0x10000', Leaf: 1 });
    expect(validateOperation({ do: 'guest.invalidate', command }, { document: doc }).ok).toBe(true);
    expect([...commandOf(l, { ASID: '65536', Address: '0x10001' }).errors.keys()].sort()).toEqual(['ASID', 'Address']);
    expect(commandLayout([0x12n, 0n]).id).toBe(l.id);
  });
});

describe('with several guests and units', () => {
  const opened = parseDocument(
    JSON.stringify({
      format: 'iommuscope/1',
      title: 'T',
      platform: { iommu: 'smmuv3', iommus: ['smmu0', 'smmu1'], guests: [{ name: 'vm0' }, { name: 'vm1' }] },
      devices: [
        { name: 'nic0', rid: '0000:01:00.0', guest: 'vm0' },
        { name: 'nic1', rid: '0000:02:00.0', guest: 'vm1', iommu: 'smmu1' },
      ],
      steps: [{ do: 'guest.flush', guest: 'vm1' }],
    }),
  );
  if (!opened.ok) throw new Error(opened.error.message);
  const two = opened.document;

  it('a form that nothing else tells the guest of begins with one', () => {
    expect(initialValues(form('guest.boot'), two, 0)['guest']).toBe('vm0');
    expect(initialValues(form('guest.boot'), two, 1)['guest']).toBe('vm1');
    expect(initialValues(form('guest.bind'), two, 1)).toMatchObject({ guest: '', process: 'app' });
    expect(initialValues(form('register.write'), two, 1)['guest']).toBe('');
    const { step } = stepOfForm(form('guest.boot'), initialValues(form('guest.boot'), two, 0), null);
    expect(validateOperation(step, { document: two })).toMatchObject({ ok: true });
  });

  it('a unit is offered where it can be meant', () => {
    const unit = form('register.write').fields.find((f) => f.name === 'unit')!;
    expect(namesFor(unit, two, { iommu: '' })).toEqual(['smmu0', 'smmu1']);
    expect(namesFor(unit, two, { iommu: 'virtual', guest: 'vm1' })).toEqual(['vsmmu1']);
    expect(namesFor(unit, two, { guest: '' })).toEqual(['vsmmu0', 'vsmmu1']);
  });
});
