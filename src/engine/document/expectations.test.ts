import { describe, expect, test } from 'vitest';
import { compare } from './compare.ts';
import { toy } from './fixtures/documents.ts';
import { findFake } from './fixtures/fake-vendor.ts';
import { checkScenario } from './parse.ts';
import { Session } from './session.ts';

/** Runs the steps and gives the failures of the last one. */
function failuresOf(steps: object[], check = true): string[] {
  const r = checkScenario(structuredClone(toy(steps)), findFake);
  if (check && !r.ok) throw new Error(`${r.error.path}: ${r.error.message}`);
  const session = new Session(r.ok ? r.document : toy(steps), findFake);
  session.runAll();
  return session.steps.at(-1)!.failures.map((f) => `${f.path}: expected ${f.expected}, found ${f.actual}`);
}

const map = { do: 'guest.map', iova: '0x1000', gpa: '0x2000' };
const dma = { do: 'device.dma', device: 'nic0', iova: '0x1234' };
const unmap = { do: 'guest.unmap', iova: '0x1000' };
const forget = { ...unmap, flush: 'none' };
const inv = { do: 'guest.invalidate', command: { name: 'INV', Address: '0x1000' } };
const alloc = { do: 'ioctl', call: 'IOMMU_IOAS_ALLOC', as: 'id' };
const badCall = { do: 'ioctl', call: 'IOMMU_DESTROY', in: { id: 9 } };
const write = { do: 'memory.write', space: 'host', at: '0x100', u64: ['0x1122334455667788', 2] };
const read = { do: 'memory.read', space: 'host', at: '0x100' };
const registerWrite = { do: 'register.write', reg: 'CR0', value: '0xff00' };
const registerRead = { do: 'register.read', reg: 'CR0' };

/** Steps, what holds after them, and a falsified version of each with what is said then. */
const cases: [string, object[], object, object, string][] = [
  ['ok', [map], { ok: true }, { ok: false }, 'expect.ok: expected a failure, found success'],
  [
    'ok of a failure',
    [{ do: 'vmm.start' }],
    { ok: false },
    { ok: true },
    'expect.ok: expected success, found no vmm.start here',
  ],
  ['errno 0', [alloc], { errno: 0 }, { errno: 'EBUSY' }, 'expect.errno: expected EBUSY, found success'],
  [
    'errno',
    [badCall],
    { errno: 'ENOENT' },
    { errno: 0 },
    'expect.errno: expected success, found ENOENT: no such object',
  ],
  [
    'another errno',
    [badCall],
    { errno: 'ENOENT' },
    { errno: 'EINVAL' },
    'expect.errno: expected EINVAL, found ENOENT: no such object',
  ],
  [
    'errno of no call',
    [dma],
    { fault: 'F_PAGE' },
    { errno: 'EIO' },
    'expect.errno: expected EIO, found device.dma gave no errno (the page is not mapped)',
  ],
  [
    'out',
    [alloc],
    { out: { out_ioas_id: '0x1' } },
    { out: { out_ioas_id: 2 } },
    'expect.out.out_ioas_id: expected 2, found 1',
  ],
  [
    'out of a failed call',
    [badCall],
    { errno: 'ENOENT', out: { entry_num: 2 } },
    { errno: 'ENOENT', out: { entry_num: 3 } },
    'expect.out.entry_num: expected 3, found 2',
  ],
  [
    'out below a structure',
    [alloc],
    { out: { 'data.offset': 4096 } },
    { out: { 'data.offset': 1 } },
    'expect.out.data.offset: expected 1, found 4096',
  ],
  [
    'bytes of out',
    [alloc],
    { out: { data: { tail: 'AABB' } } },
    { out: { data: { tail: 'aabc' } } },
    'expect.out.data.tail: expected aabc, found aabb',
  ],
  [
    'out that is not there',
    [alloc],
    { out: {} },
    { out: { out_id: 1 } },
    'expect.out.out_id: expected 1, found ioctl gave no output out_id (success)',
  ],
  [
    'where',
    [alloc],
    {
      where: {
        'data.offset': { multipleOf: '4KiB', min: 4096, max: 4096, outside: [0, 4095], mask: '0xfff', equals: 0 },
      },
    },
    { where: { 'data.offset': { min: 4097 } } },
    'expect.where.data.offset: expected at least 4097, found 0x1000',
  ],
  [
    'where max',
    [alloc],
    { where: { 'data.offset': { max: 4096 } } },
    { where: { 'data.offset': { max: 4095 } } },
    'expect.where.data.offset: expected at most 4095, found 0x1000',
  ],
  [
    'where multipleOf',
    [alloc],
    { where: { 'data.offset': { multipleOf: 2048 } } },
    { where: { 'data.offset': { multipleOf: 3 } } },
    'expect.where.data.offset: expected a multiple of 3, found 0x1000',
  ],
  [
    'where outside',
    [alloc],
    { where: { 'data.offset': { outside: ['0x1001', '0x2000'] } } },
    { where: { 'data.offset': { outside: ['0x1000', '0x2000'] } } },
    'expect.where.data.offset: expected outside 0x1000 to 0x2000, found 0x1000',
  ],
  [
    'where mask',
    [alloc],
    { where: { 'data.offset': { mask: '0x1fff', equals: '0x1000' } } },
    { where: { 'data.offset': { mask: '0x1000', equals: 0 } } },
    'expect.where.data.offset: expected 0 in the bits 0x1000, found 0x1000',
  ],
  ['pa', [map, dma], { pa: '0x2234' }, { pa: '0x2235' }, 'expect.pa: expected 0x2235, found 0x2234'],
  ['pa in another notation', [map, dma], { pa: 8756 }, { pa: 8757 }, 'expect.pa: expected 8757, found 8756'],
  ['fault by name', [dma], { fault: 'F_PAGE' }, { fault: 'F_PERM' }, 'expect.fault: expected F_PERM, found F_PAGE'],
  [
    'fault with fields',
    [dma],
    { fault: { name: 'F_PAGE', Addr: '0x1234' } },
    { fault: { name: 'F_PAGE', Addr: '0x1' } },
    'expect.fault.Addr: expected 0x1, found 0x1234',
  ],
  [
    'fault with an unknown field',
    [dma],
    { fault: 'F_PAGE' },
    { fault: { name: 'F_PAGE', SID: 1 } },
    'expect.fault.SID: expected 1, found F_PAGE has no field SID',
  ],
  ['no fault', [map, dma], { fault: false }, { fault: 'F_PAGE' }, 'expect.fault: expected F_PAGE, found nothing'],
  ['hit', [map, dma, dma], { hit: 'TLB' }, { hit: 'none' }, 'expect.hit: expected none, found TLB'],
  ['reads', [map, dma], { reads: 1 }, { reads: 2 }, 'expect.reads: expected 2, found 1'],
  ['commands by name', [inv], { commands: ['INV'] }, { commands: [] }, 'expect.commands: expected none, found INV'],
  [
    'commands with a prefix and fields',
    [inv],
    { commands: [{ name: 'CMD_INV', Address: 4096 }] },
    { commands: [{ name: 'INV', Address: '0x2000' }] },
    'expect.commands[0].Address: expected 0x2000, found 0x1000',
  ],
  [
    'more commands',
    [inv],
    { commands: ['INV'] },
    { commands: ['INV', 'INV'] },
    'expect.commands: expected INV, INV, found INV',
  ],
  ['exits', [unmap], { exits: 1 }, { exits: 0 }, 'expect.exits: expected 0, found 1'],
  ['ioctls', [alloc], { ioctls: 1 }, { ioctls: '2' }, 'expect.ioctls: expected 2, found 1'],
  ['syncs', [unmap], { syncs: 1 }, { syncs: 3 }, 'expect.syncs: expected 3, found 1'],
  [
    'cached',
    [map, dma],
    { cached: [{ cache: 'TLB', iova: '0x1000', device: 'nic0' }] },
    { cached: [{ iova: '0x2000' }] },
    'expect.cached[0]: expected iova 0x2000, found [cache TLB, iova 0x1000, pa 0x2000, device nic0]',
  ],
  [
    'notCached',
    [map, dma],
    { notCached: [{ iova: 0 }] },
    { notCached: [{ cache: 'TLB', pa: '0x2000' }] },
    'expect.notCached[0]: expected no entry with cache TLB, pa 0x2000, found cache TLB, iova 0x1000, pa 0x2000, device nic0',
  ],
  ['nothing stale', [map, dma, unmap], { stale: [] }, { stale: ['TLB'] }, 'expect.stale: expected 1: TLB, found none'],
  [
    'stale by number',
    [map, dma, forget],
    { stale: 1 },
    { stale: 0 },
    'expect.stale: expected 0, found 1: the TLB still maps 0x1000',
  ],
  [
    'stale by text',
    [map, dma, forget],
    { stale: ['0x1000'] },
    { stale: ['0x3000'] },
    'expect.stale: expected 1: 0x3000, found 1: the TLB still maps 0x1000',
  ],
  [
    'stale by fields',
    [map, dma, forget],
    { stale: [{ cache: 'TLB', at: 'hw.tlb', now: 'no mapping', missing: 'INV' }] },
    { stale: [{ missing: 'SYNC' }] },
    'expect.stale: expected 1: {"missing":"SYNC"}, found 1: the TLB still maps 0x1000',
  ],
  [
    'events',
    [dma],
    { ok: false, events: [{ name: 'F_PAGE', Addr: '0x1234' }] },
    { ok: false, events: [] },
    'expect.events: expected none, found F_PAGE',
  ],
  [
    'u64',
    [write, read],
    { u64: ['0x1122334455667788', 2] },
    { u64: ['0x1122334455667788', 3] },
    'expect.u64[1]: expected 3, found 2',
  ],
  [
    'u32',
    [write, read],
    { u32: ['0x55667788'] },
    { u32: ['0x55667789'] },
    'expect.u32[0]: expected 0x55667789, found 0x55667788',
  ],
  ['u8', [write, read], { u8: ['0x88', '0x77'] }, { u8: ['0x77'] }, 'expect.u8[0]: expected 0x77, found 0x88'],
  ['hex', [write, read], { hex: '887766' }, { hex: '887767' }, 'expect.hex: expected 887767, found 887766'],
  ['value', [registerWrite, registerRead], { value: '0xff00' }, { value: 0 }, 'expect.value: expected 0, found 65280'],
  [
    'mask',
    [registerWrite, registerRead],
    { mask: '0xf000', value: '0xf000' },
    { mask: '0xf000', value: 0 },
    'expect.value: expected 0 in the bits 0xf000, found 0xf000 in the bits 0xf000, the register is 0xff00',
  ],
  [
    'a bound name',
    [alloc, { do: 'ioctl', call: 'IOMMU_DESTROY', in: { id: '$id' } }],
    { errno: 0 },
    { errno: 0, out: { x: '$id' } },
    'expect.out.x: expected $id (0x1), found ioctl gave no output x (success)',
  ],
];

const expecting = (steps: object[], e: object): object[] => [...steps.slice(0, -1), { ...steps.at(-1)!, expect: e }];

describe('each expectation', () => {
  test.each(cases)('%s holds', (_name, steps, holds) => expect(failuresOf(expecting(steps, holds))).toEqual([]));
  test.each(cases)('%s can fail', (_name, steps, _holds, falsified, said) => {
    expect(failuresOf(expecting(steps, falsified))).toContain(said);
  });
});

test('arrays have exactly the elements that were given, objects at least the expected fields', () => {
  const said = (expected: unknown, actual: unknown): string[] =>
    compare(expected, actual, 'x', 'x', { n: 5n }).map((f) => `${f.path}: ${f.expected} / ${f.actual}`);
  expect(said([{ a: 1 }, '$n+1'], [{ a: 1n, b: 2 }, 6])).toEqual([]);
  expect(said([1], [1, 2])).toEqual(['x: 1 elements / 2: [1,2]']);
  expect(said([1, 2], [1])).toEqual(['x: 2 elements / 1: [1]']);
  expect(said([{ a: 1 }], [{ b: 1 }])).toEqual(['x[0].a: 1 / nothing']);
  expect(said([1], 1)).toEqual(['x: [1] / 1']);
  expect(said({ a: 1 }, [1])).toEqual(['x: {"a":1} / [1]']);
  expect(said('EBUSY', 'EINVAL')).toEqual(['x: EBUSY / EINVAL']);
  expect(said('$m', 1)).toEqual(['x: $m (not bound) / 1']);
  expect(said('0x10', '16')).toEqual([]);
  expect(said({ constructor: 1 }, {})).toHaveLength(1);
});

describe('what is not said', () => {
  test('a step without expectations must succeed', () => {
    expect(failuresOf([map, dma])).toEqual([]);
    expect(failuresOf([dma])).toEqual([': expected success, found the page is not mapped']);
    expect(failuresOf([badCall])).toEqual([': expected success, found ENOENT: no such object']);
  });

  test('a step with expectations that do not speak of failure must succeed too', () => {
    expect(failuresOf([{ ...dma, expect: { reads: 1 } }])).toEqual([
      ': expected success, found the page is not mapped',
    ]);
    expect(failuresOf([{ ...dma, expect: { fault: false } }])).toHaveLength(2);
  });

  test('an expectation that the operation cannot answer is not met', () => {
    const keys = { pa: 1, hit: 'TLB', reads: 1, u64: [1], u8: [1], hex: '00', value: 1, where: { a: { min: 0 } } };
    for (const [key, v] of Object.entries(keys))
      expect(failuresOf([{ ...map, expect: { [key]: v } }]), key).toHaveLength(1);
  });

  test('a field that no entry has makes no true notCached, also without a vendor that lists fields', () => {
    const find = (name: string) => {
      const v = findFake(name);
      return v && { ...v, caches: undefined };
    };
    const steps = [map, { ...dma, expect: { notCached: [{ cache: 'TLB', vmidd: 1 }] } }];
    const r = checkScenario(toy(steps), find);
    if (!r.ok) throw new Error(r.error.message);
    const s = new Session(r.document, find);
    s.runAll();
    expect(s.steps.at(-1)!.failures).toEqual([
      { path: 'expect.notCached[0].vmidd', expected: 'a field of a cached entry', actual: 'no entry has such a field' },
    ]);
  });

  test('each hazard is matched by an element of its own', () => {
    const two = [map, { do: 'guest.map', iova: '0x3000', gpa: '0x4000' }, dma, { ...dma, iova: '0x3000' }, forget];
    const last = { do: 'guest.unmap', iova: '0x3000', flush: 'none' };
    // The first element fits both, so it must leave 0x1000 to the second.
    const e = (stale: unknown) => failuresOf([...two, { ...last, expect: { stale } }]);
    expect(e(['TLB', '0x1000'])).toEqual([]);
    expect(e(['0x1000', 'TLB'])).toEqual([]);
    expect(e(['0x1000', '0x1000'])).toHaveLength(1);
    expect(e(['TLB'])).toHaveLength(1);
  });
});

describe('binding', () => {
  test('the main result, and outputs by name', () => {
    const s = new Session(
      toy([
        { ...alloc, as: { out_ioas_id: 'a', 'data.offset': 'b' } },
        alloc,
        registerWrite,
        { ...registerRead, as: 'r' },
      ]),
      findFake,
    );
    s.runAll();
    expect(s.steps.at(-1)!.bindings).toEqual({ a: 1n, b: 0x1000n, id: 2n, r: 0xff00n });
    expect(s.steps[1]!.bindings).toEqual({ a: 1n, b: 0x1000n });
  });

  test('a result that is not there is a failure, a failed step binds nothing', () => {
    expect(failuresOf([{ ...map, as: 'x' }])).toEqual(['as: expected a number to bind to x, found nothing']);
    expect(failuresOf([{ ...alloc, as: { out: 'x' } }])).toEqual([
      'as.out: expected a number to bind to x, found nothing',
    ]);
    expect(failuresOf([{ ...badCall, as: 'x', expect: { errno: 'ENOENT' } }])).toEqual([]);
    expect(
      failuresOf([
        { ...badCall, as: 'x', expect: { errno: 'ENOENT' } },
        { ...dma, iova: '$x' },
      ]),
    ).toEqual([': expected success, found $x is not bound: the step that binds it failed']);
  });
});
