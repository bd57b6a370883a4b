import { describe, expect, expectTypeOf, test } from 'vitest';
import { documents, toy } from './fixtures/documents.ts';
import { findFake } from './fixtures/fake-vendor.ts';
import { operationForms, operationNames, type Parsed, type Step, type StepNamed } from './operations.ts';
import { parseDocument, validateOperation } from './parse.ts';
import { deviceSpecs, platformSpec } from './platform.ts';
import { resolveOperation } from './resolve.ts';
import { serializeDocument, toStep } from './serialize.ts';

const resolved = (step: object, bindings = {}) => {
  const r = resolveOperation(step as Step, bindings);
  return r.ok ? r.operation : r.text;
};

describe('the table of operations', () => {
  test('has every operation of the format', () => {
    const named =
      'ioctl fd.open fd.close fd.read fd.write fd.mmap fd.munmap memory.write memory.read register.write register.read vmm.start vmm.plug vmm.unplug vmm.map vmm.unmap vmm.queue guest.boot guest.attach guest.detach guest.bind guest.unbind guest.exit guest.map guest.unmap guest.flush guest.invalidate device.dma device.ats device.pri device.reset inject';
    expect([...operationNames].sort()).toEqual(named.split(' ').sort());
  });

  test('forms say of each field what the schema checks', () => {
    for (const form of operationForms) {
      expect(form.title).not.toBe('');
      for (const f of form.fields) {
        expect(f.about.endsWith('.'), `${form.name}.${f.name}`).toBe(true);
        expect(f.required && f.default !== undefined, `${form.name}.${f.name}`).toBe(false);
      }
    }
    const dma = operationForms.find((f) => f.name === 'device.dma')!;
    const brief = dma.fields.map((f) => [f.name, f.kind, f.required, f.default]);
    expect(brief).toEqual([
      ['device', 'device', true, undefined],
      ['pasid', 'number', false, undefined],
      ['iova', 'number', true, undefined],
      ['access', 'enum', false, 'read'],
      ['length', 'size', false, 4],
      ['ats', 'enum', false, 'untranslated'],
    ]);
  });

  test('a form filled with its defaults and something for what is required is a correct step', () => {
    const document = toy([]);
    const something: Record<string, unknown> = { device: 'nic0', number: 1, size: '4KiB', text: 'dma0', hex: '00' };
    for (const form of operationForms) {
      const step: Record<string, unknown> = { do: form.name };
      for (const f of form.fields) {
        if (f.default !== undefined) step[f.name] = f.default;
        else if (f.required) step[f.name] = f.kind === 'enum' ? f.values![0] : something[f.kind];
      }
      if (form.name === 'ioctl') step['call'] = 'IOMMU_DESTROY';
      if (form.name.startsWith('register')) step['reg'] = 'CR0';
      if (form.name === 'fd.open') step['fd'] = 0;
      if (form.name === 'fd.write') step['records'] = [];
      if (form.name === 'memory.write') step['u8'] = [1];
      if (form.name === 'guest.invalidate') step['command'] = { name: 'INV' };
      if (form.name === 'inject') step['action'] = 'corrupt';
      const r = validateOperation(step, { document }, findFake);
      expect(r.ok || r.error, form.name).toBe(true);
    }
  });

  test('types follow the table', () => {
    expectTypeOf<Parsed<'guest.map'>['iova']>().toEqualTypeOf<bigint>();
    expectTypeOf<Parsed<'guest.map'>['gpa']>().toEqualTypeOf<number>();
    expectTypeOf<Parsed<'guest.map'>['perm']>().toEqualTypeOf<'r' | 'w' | 'rw'>();
    expectTypeOf<Parsed<'device.dma'>['pasid']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<Parsed<'memory.write'>['bytes']>().toEqualTypeOf<Uint8Array>();
    expectTypeOf<StepNamed<'device.dma'>['iova']>().toEqualTypeOf<number | string>();
    expectTypeOf<StepNamed<'device.dma'>['device']>().toEqualTypeOf<string>();
  });
});

describe('a step as the platform gets it', () => {
  test('defaults are filled in, numbers have their kind', () => {
    expect(resolved({ do: 'device.dma', device: 'nic0', iova: 0x1000 })).toEqual({
      do: 'device.dma',
      device: 'nic0',
      iova: 4096n,
      access: 'read',
      length: 4,
      ats: 'untranslated',
    });
    expect(resolved({ do: 'guest.map', iova: '0xffffffff00000000', gpa: '1GiB', say: 'x' })).toEqual({
      do: 'guest.map',
      domain: 'dma0',
      iova: 0xffffffff00000000n,
      gpa: 2 ** 30,
      size: 4096,
      perm: 'rw',
      present: true,
    });
    expect(resolved({ do: 'inject', at: 'host.command', action: 'corrupt' })).toMatchObject({
      count: 1,
      xor: [0n, 0x1000n],
    });
  });

  test('memory is bytes, whichever way they are given', () => {
    const write = (given: object) => resolved({ do: 'memory.write', space: 'host', at: 0, ...given });
    const bytes = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
    for (const given of [
      { u8: [1, 2, 3, 4, '5', '0x6', 7, 8] },
      { u32: ['0x04030201', '0x08070605'] },
      { u64: ['0x0807060504030201'] },
      { hex: '0102030405060708' },
    ])
      expect(write(given)).toMatchObject({ bytes });
  });

  test('a read is as long as what is compared', () => {
    const read = (extra: object) => resolved({ do: 'memory.read', space: 'host', at: 8, ...extra });
    expect(read({})).toMatchObject({ length: 8 });
    expect(read({ expect: { u64: [1, 2, 3] } })).toMatchObject({ length: 24 });
    expect(read({ expect: { hex: '010203' } })).toMatchObject({ length: 3 });
    expect(read({ length: '4KiB', expect: { hex: '010203' } })).toMatchObject({ length: 4096 });
  });

  test('struct fields: numbers in any notation, byte strings as text', () => {
    const step = {
      do: 'ioctl',
      call: 'IOMMU_HWPT_ALLOC',
      in: {
        flags: '0x10',
        addr: '0xffffffffffffffff',
        op: 'IOMMU_TEST_OP_X',
        bitmap: '5555',
        data: { ste: ['0x1', 2], iotlb: '$x+0x10' },
        entries: ['0a'],
      },
    };
    expect(resolved(step, { x: 1n })).toMatchObject({
      fd: 0,
      in: {
        flags: 16,
        addr: 0xffffffffffffffffn,
        op: 'IOMMU_TEST_OP_X',
        bitmap: '5555',
        data: { ste: [1, 2], iotlb: 17 },
        entries: ['0a'],
      },
    });
    expect(resolved({ do: 'ioctl', call: 'IOMMU_IOAS_MAP', in: null })).toMatchObject({ in: null });
  });

  test('commands by name and fields, or bytes', () => {
    const command = { name: 'INV', ASID: '0x10', Address: '$a' };
    expect(resolved({ do: 'guest.invalidate', command }, { a: 0x5000n })).toMatchObject({
      command: { name: 'INV', fields: { ASID: 16n, Address: 0x5000n } },
    });
    expect(resolved({ do: 'guest.invalidate', bytes: '0Aff' })).toMatchObject({ bytes: new Uint8Array([10, 255]) });
  });

  test('a name whose step failed, and a sum that leaves the range, are said', () => {
    const dma = (iova: string) => resolved({ do: 'device.dma', device: 'nic0', iova }, { a: 0n });
    expect(dma('$b')).toBe('$b is not bound: the step that binds it failed');
    expect(dma('$a-1')).toBe('iova is 0x-1, expected 0 to 0xffffffffffffffff');
  });
});

describe('the machine of a document', () => {
  test('defaults', () => {
    expect(platformSpec(toy([], { platform: { iommu: 'smmuv3' }, setup: undefined }))).toEqual({
      iommu: 'smmuv3',
      features: {},
      memory: 8 * 2 ** 30,
      iommus: ['smmu0'],
      guest: { name: 'guest', memory: 2 ** 30, base: 0x40000000, backing: 2 ** 21 },
      guests: [{ name: 'guest', memory: 2 ** 30, base: 0x40000000, backing: 2 ** 21 }],
      policy: {},
      deviations: [],
      setup: 'booted',
    });
    const small = platformSpec(
      toy([], { platform: { iommu: 'smmuv3', memory: '1GiB', guest: { backing: '4KiB' }, policy: { batch: '4' } } }),
    );
    expect(small.guest).toEqual({ name: 'guest', memory: 2 ** 28, base: 0x40000000, backing: 4096 });
    expect(small.policy).toEqual({ batch: 4 });
  });

  test('devices without a place in the guest get the free ones', () => {
    const devices = [
      { name: 'a', rid: '0000:01:00.0' },
      { name: 'b', rid: '0000:02:00.0', vrid: '0000:00:02.0', pasidBits: 0, ats: false, pri: true },
      { name: 'c', rid: '0001:00:00.1' },
    ];
    expect(deviceSpecs(toy([], { devices }))).toEqual([
      { name: 'a', rid: 0x100, vrid: 8, pasidBits: 16, ats: true, pri: false },
      { name: 'b', rid: 0x200, vrid: 16, pasidBits: 0, ats: false, pri: true },
      { name: 'c', rid: 0x10001, vrid: 24, pasidBits: 16, ats: true, pri: false },
    ]);
  });
});

describe('a document as text', () => {
  test.each([...documents])('%s is the same after writing and reading', (_name, text) => {
    const first = parseDocument(text, () => null);
    if (!first.ok) throw new Error(first.error.message);
    const written = serializeDocument(first.document);
    const second = parseDocument(written, () => null);
    expect(second).toEqual(first);
    expect(second.ok && serializeDocument(second.document)).toBe(written);
  });

  test('the order of keys in the source does not matter', () => {
    const flip = (v: unknown): unknown =>
      Array.isArray(v)
        ? v.map(flip)
        : typeof v === 'object' && v !== null
          ? Object.fromEntries(
              Object.entries(v)
                .reverse()
                .map(([k, x]) => [k, flip(x)]),
            )
          : v;
    const steps = [{ do: 'device.dma', device: 'nic0', iova: '0x1000', say: 'x', expect: { reads: 1, pa: 2 } }];
    const read = (d: unknown) => {
      const r = parseDocument(JSON.stringify(d), findFake);
      return r.ok ? serializeDocument(r.document) : r.error.message;
    };
    expect(read(flip(toy(steps)))).toBe(read(toy(steps)));
    expect(read(toy(steps))).toContain(
      '\n    {"do": "device.dma", "device": "nic0", "iova": "0x1000", "expect": {"pa": 2, "reads": 1}, "say": "x"}\n',
    );
  });

  test('an operation that a platform proposes becomes what a person would write', () => {
    const op = { do: 'guest.map', domain: 'dma0', iova: 0x10000n, gpa: 0x40200000, size: 2 ** 21, perm: 'rw' };
    expect(toStep(op)).toEqual({ do: 'guest.map', iova: '0x10000', gpa: '0x40200000', size: '2MiB' });
    expect(toStep({ do: 'guest.invalidate', command: { name: 'INV', fields: { ASID: 1n } } })).toEqual({
      do: 'guest.invalidate',
      command: { name: 'INV', ASID: '0x1' },
    });
    // Already in the document's notation.
    expect(toStep({ do: 'guest.invalidate', command: { name: 'INV', ASID: '0x1' } })).toEqual({
      do: 'guest.invalidate',
      command: { name: 'INV', ASID: '0x1' },
    });
    expect(toStep({ do: 'ioctl', call: 'IOMMU_DESTROY', fd: 0, in: { id: 3 } })).toEqual({
      do: 'ioctl',
      call: 'IOMMU_DESTROY',
      in: { id: 3 },
    });
  });

  test('a step survives resolving and writing', () => {
    for (const step of [
      { do: 'device.dma', device: 'nic0', iova: '0x1000', access: 'write' },
      { do: 'memory.write', space: 'host', at: '0x1000', u64: ['0x1', '0xffffffffffffffff'] },
      { do: 'memory.write', space: 'guest', at: '0x1000', hex: '0102' },
      { do: 'register.write', reg: 'CR0', value: '0xd' },
    ] as unknown as Step[]) {
      const r = resolveOperation(step, {});
      expect(r.ok && toStep(r.operation)).toEqual(step);
    }
  });
});
