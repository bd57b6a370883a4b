import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Vendor } from '../machine/vendor.ts';
import { documents, toy } from './fixtures/documents.ts';
import { findFake } from './fixtures/fake-vendor.ts';
import { validates } from './fixtures/json-schema-check.ts';
import { documentJsonSchema } from './json-schema.ts';
import { checkScenario, maxLength, maxValues, parseDocument, validateOperation, whyNotRunnable } from './parse.ts';

const all = [...documents];
const schema = documentJsonSchema();
const none = (): Vendor | null => null;

/** A document of the toy vendor, changed by `edit`, as text that has one line a value. */
const edited = (edit: (d: never) => void, steps: object[] = basic()): string => {
  const d = structuredClone(toy(steps)) as never;
  edit(d);
  return JSON.stringify(d, null, 1);
};
const basic = (): object[] => [
  { do: 'ioctl', call: 'IOMMU_IOAS_ALLOC', as: 'ioas' },
  { do: 'ioctl', call: 'IOMMU_DESTROY', in: { id: '$ioas' } },
  { do: 'device.dma', device: 'nic0', iova: '0x1000', expect: { pa: '0x2000' } },
];
type Doc = {
  platform: Record<string, unknown>;
  devices: Record<string, unknown>[];
  steps: Record<string, unknown>[];
  setup: unknown;
};

const errorOf = (text: string, find = findFake) => {
  const r = parseDocument(text, find);
  if (r.ok) throw new Error('was accepted');
  return r.error;
};

describe('documents of other programs', () => {
  test('there are some', () => expect(all.length).toBeGreaterThanOrEqual(9));

  test.each(all)('%s is read', (_name, text) => {
    const r = parseDocument(text, none);
    expect(r.ok ? '' : r.error).toBe('');
    // Nothing is lost or added: the author's notation stays.
    expect(r.ok && r.document).toEqual(JSON.parse(text));
  });

  test.each(all)('%s follows the published schema', (_name, text) => {
    expect(validates(schema, JSON.parse(text))).toBe(true);
  });

  test('a vendor that is not modelled is said at once', () => {
    const r = parseDocument(documents.get('vtd_stale_page_legacy.json')!, none);
    if (!r.ok) throw new Error('not read');
    expect(whyNotRunnable(r.document, none)?.message).toMatch(/found "vtd", which is not modelled yet$/);
    expect(whyNotRunnable(r.document, none)?.path).toBe('platform.iommu');
  });
});

describe('what is refused, and where', () => {
  const step =
    (i: number, change: (s: Record<string, never>) => void) =>
    (d: Doc): void =>
      change(d.steps[i] as Record<string, never>);
  const set = (i: number, key: string, v: unknown) => step(i, (s) => Object.assign(s, { [key]: v }));
  const cases: [string, (d: Doc) => void, string, RegExp][] = [
    [
      'unknown key',
      set(2, 'iowa', 1),
      'steps[2].iowa',
      /^expected one of these keys: do, device, .*; found an unknown key; did you mean "iova"\?$/,
    ],
    [
      'misspelt required key',
      step(2, (s) => {
        Object.assign(s, { iovva: s['iova'] });
        Reflect.deleteProperty(s, 'iova');
      }),
      'steps[2].iovva',
      /did you mean "iova"/,
    ],
    [
      'missing key',
      step(2, (s) => {
        Reflect.deleteProperty(s, 'iova');
      }),
      'steps[2].iova',
      /^expected a number from 0 to 0xffffffffffffffff or a \$name; found nothing$/,
    ],
    [
      'unknown operation',
      set(2, 'do', 'device.dmaa'),
      'steps[2].do',
      /^expected the name of an operation: .*; found "device.dmaa"; did you mean "device.dma"\?$/,
    ],
    [
      'no operation',
      step(2, (s) => {
        Reflect.deleteProperty(s, 'do');
      }),
      'steps[2].do',
      /found nothing$/,
    ],
    [
      'step that is no object',
      (d) => {
        d.steps[1] = 7 as never;
      },
      'steps[1]',
      /^expected a step: an object with "do"; found 7$/,
    ],
    [
      'steps that are no array',
      (d) => {
        d.steps = {} as never;
      },
      'steps',
      /^expected an array of steps; found an object$/,
    ],
    ['wrong type', set(2, 'iova', true), 'steps[2].iova', /found true$/],
    ['fraction', set(2, 'iova', 1.5), 'steps[2].iova', /found 1.5$/],
    ['number above 64 bits', set(2, 'iova', '0x10000000000000000'), 'steps[2].iova', /found "0x10000000000000000"$/],
    ['JSON number above 2^53', set(2, 'iova', 2 ** 60), 'steps[2].iova', /must stand in double quotes/],
    ['negative number', set(2, 'iova', -1), 'steps[2].iova', /found -1$/],
    ['unit that does not exist', set(2, 'iova', '4KB'), 'steps[2].iova', /found "4KB"$/],
    [
      'PASID of 21 bits',
      set(2, 'pasid', 1 << 20),
      'steps[2].pasid',
      /^expected a number from 0 to 0xfffff or a \$name; found 1048576$/,
    ],
    [
      'value that is none of some',
      set(2, 'access', 'execute'),
      'steps[2].access',
      /^expected one of "read", "write"; found "execute"$/,
    ],
    [
      'device that does not exist',
      set(2, 'device', 'nic1'),
      'steps[2].device',
      /^expected the name of a device: nic0; found "nic1"; did you mean "nic0"\?$/,
    ],
    [
      'unbound name',
      set(1, 'in', { id: '$iaos' }),
      'steps[1].in.id',
      /^expected a name that "as" of an earlier step binds \(ioas\); found "\$iaos"$/,
    ],
    [
      'name bound later',
      (d) => {
        d.steps.reverse();
      },
      'steps[1].in.id',
      /none does so far/,
    ],
    ['malformed reference', set(1, 'in', { id: '$ioas+' }), 'steps[1].in.id', /such as \$name or \$name\+0x1000/],
    ['unbound name in expect', set(2, 'expect', { pa: '$x' }), 'steps[2].expect.pa', /earlier step binds/],
    ['unknown expectation', set(2, 'expect', { paa: 1 }), 'steps[2].expect.paa', /did you mean "pa"/],
    ['mask without value', set(2, 'expect', { mask: 1 }), 'steps[2].expect', /a "value" beside "mask"/],
    [
      'where with mask alone',
      set(1, 'expect', { where: { a: { mask: 1 } } }),
      'steps[1].expect.where.a',
      /"equals" beside "mask"/,
    ],
    [
      'command without name',
      set(2, 'expect', { commands: ['A', { x: 1 }] }),
      'steps[2].expect.commands[1].name',
      /found nothing/,
    ],
    [
      'boolean among struct fields',
      set(1, 'in', { id: true }),
      'steps[1].in.id',
      /^expected a number, a text, an array or an object; found true$/,
    ],
    [
      'too deep struct fields',
      set(1, 'in', { a: [[[[[[[[[1]]]]]]]]] }),
      `steps[1].in.a${'[0]'.repeat(7)}`,
      /inside one another/,
    ],
    ['struct field above 64 bits', set(1, 'in', { id: '0x1ffffffffffffffff' }), 'steps[1].in.id', /64 bits/],
    ['odd hex digits', set(1, 'tail', '123'), 'steps[1].tail', /pairs of hexadecimal digits/],
    ['name that is none', set(0, 'as', '5x'), 'steps[0].as', /a name/],
    ['key __proto__ as a name', set(0, 'as', '__proto__'), 'steps[0].as', /a name/],
    [
      'two devices of one name',
      (d) => {
        d.devices.push({ name: 'nic0', rid: 5 });
      },
      'devices[1].name',
      /no other one has/,
    ],
    [
      'two devices of one rid',
      (d) => {
        d.devices.push({ name: 'nic1', rid: '0x100' });
      },
      'devices[1].rid',
      /no other one has/,
    ],
    [
      'two devices of one vrid',
      (d) => {
        d.devices.push({ name: 'a', rid: 5, vrid: 9 }, { name: 'b', rid: 6, vrid: '00:01.1' });
      },
      'devices[2].vrid',
      /no other one has/,
    ],
    [
      'rid that is none',
      (d) => {
        d.devices[0]!['rid'] = '0000:01:20.0';
      },
      'devices[0].rid',
      /^expected a requester id/,
    ],
    [
      'unit that a device is behind',
      (d) => {
        d.devices[0]!['iommu'] = 'smmu7';
      },
      'devices[0].iommu',
      /platform.iommus/,
    ],
    [
      'unknown platform',
      (d) => {
        d.platform['iommu'] = 'smmuv2';
      },
      'platform.iommu',
      /^expected one of "smmuv3", "vtd", "amdvi", "selftest"; found "smmuv2"/,
    ],
    [
      'unknown setup',
      (d) => {
        d.setup = 'bootd';
      },
      'setup',
      /one of "bare", "plugged", "booted"/,
    ],
    [
      'alternative that is not modelled',
      (d) => {
        d.platform['policy'] = { vmid: 'per-viommu' };
      },
      'platform.policy.vmid',
      /the alternative "per-viommu" is not modelled yet/,
    ],
    [
      'unknown policy',
      (d) => {
        d.platform['policy'] = { vmidd: 1 };
      },
      'platform.policy.vmidd',
      /did you mean "vmid"/,
    ],
    [
      'batch of none',
      (d) => {
        d.platform['policy'] = { batch: 0 };
      },
      'platform.policy.batch',
      /^expected a number from 1/,
    ],
    [
      'unknown feature',
      (d) => {
        d.platform['features'] = { ATSS: true };
      },
      'platform.features.ATSS',
      /a feature of smmuv3: ATS, OAS, Kind; .*did you mean "ATS"/,
    ],
    [
      'feature of a wrong type',
      (d) => {
        d.platform['features'] = { ATS: 1 };
      },
      'platform.features.ATS',
      /^expected true or false; found 1$/,
    ],
    [
      'unknown deviation',
      (d) => {
        d.platform['deviations'] = ['guest.forgets'];
      },
      'platform.deviations[0]',
      /did you mean "guest.forget"/,
    ],
    [
      'guest larger than the host',
      (d) => {
        d.platform['guest'] = { memory: '1GiB' };
      },
      'platform.guest.memory',
      /at most half of host memory/,
    ],
    [
      'register that does not exist',
      (d) => {
        d.steps[2] = { do: 'register.read', reg: 'CR7' };
      },
      'steps[2].reg',
      /a register: CR0, CMDQ_PROD/,
    ],
    [
      'command that does not exist',
      (d) => {
        d.steps[2] = { do: 'guest.invalidate', command: { name: 'IVN' } };
      },
      'steps[2].command.name',
      /did you mean "INV"/,
    ],
    [
      'field that the command lacks',
      (d) => {
        d.steps[2] = { do: 'guest.invalidate', command: { name: 'INV', VMID: 1 } };
      },
      'steps[2].command.VMID',
      /a field of INV: Opcode, ASID, Address/,
    ],
    [
      'field value that does not fit',
      (d) => {
        d.steps[2] = { do: 'guest.invalidate', command: { name: 'INV', ASID: 65536 } };
      },
      'steps[2].command.ASID',
      /^expected a number of 16 bits; found 65536$/,
    ],
    [
      'address with low bits',
      (d) => {
        d.steps[2] = { do: 'guest.invalidate', command: { name: 'INV', Address: '0x1001' } };
      },
      'steps[2].command.Address',
      /no bits outside 63:12/,
    ],
    [
      'command of a wrong length',
      (d) => {
        d.steps[2] = { do: 'guest.invalidate', bytes: '00' };
      },
      'steps[2].bytes',
      /a command of 16 bytes/,
    ],
    [
      'command and bytes',
      (d) => {
        d.steps[2] = { do: 'guest.invalidate', command: { name: 'INV' }, bytes: '00'.repeat(16) };
      },
      'steps[2].bytes',
      /only one of the fields command, bytes/,
    ],
    [
      'nothing to write',
      (d) => {
        d.steps[2] = { do: 'memory.write', space: 'host', at: 0 };
      },
      'steps[2]',
      /one of the fields u8, u32, u64, hex/,
    ],
    [
      'xor without corrupt',
      (d) => {
        d.steps[2] = { do: 'inject', at: 'host.command', action: 'drop', xor: [0, 1] };
      },
      'steps[2].xor',
      /unless the action is corrupt/,
    ],
    [
      'cache that does not exist',
      set(2, 'expect', { notCached: [{ cache: 'TLBB' }] }),
      'steps[2].expect.notCached[0].cache',
      /did you mean "TLB"/,
    ],
    [
      'cache field that does not exist',
      set(2, 'expect', { notCached: [{ cache: 'TLB', iovaa: 1 }] }),
      'steps[2].expect.notCached[0].iovaa',
      /did you mean "iova"/,
    ],
    [
      'mapping into bypass',
      (d) => {
        d.steps[2] = { do: 'guest.map', domain: 'bypass', iova: 0, gpa: 0 };
      },
      'steps[2].domain',
      /not bypass or blocked/,
    ],
    [
      'guest that does not exist',
      (d) => {
        d.steps[2] = { do: 'guest.boot', guest: 'vm1' };
      },
      'steps[2].guest',
      /^expected the name of a guest: guest; found "vm1"/,
    ],
  ];

  test('the document itself is correct', () =>
    expect(
      parseDocument(
        edited(() => {}),
        findFake,
      ).ok,
    ).toBe(true));

  test.each(cases)('%s', (_name, edit, path, message) => {
    const text = edited(edit as (d: never) => void);
    const e = errorOf(text);
    expect(e.path).toBe(path);
    expect(e.message).toMatch(message);
    // The place is that of the path's last key, where it exists.
    const key = /([\w$]+)$/.exec(path)?.[1];
    const line = text.split('\n')[e.line! - 1]!.slice(e.column! - 1);
    if (key && !e.message.endsWith('found nothing') && !path.endsWith(']'))
      expect(line.startsWith(`"${key}":`)).toBe(true);
  });
});

describe('any text at all', () => {
  const json = fc.jsonValue({ maxDepth: 5 });

  test('random JSON is answered, with a place', () => {
    fc.assert(
      fc.property(json, (v) => {
        const r = parseDocument(JSON.stringify(v), findFake);
        expect(r.ok).toBe(false);
        if (!r.ok) expect(r.error.line).toBeGreaterThan(0);
      }),
      { numRuns: 300 },
    );
  });

  test('random text is answered', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (s) => {
        expect(parseDocument(s, findFake).ok).toBe(false);
      }),
    );
  });

  /** Every path into a value. */
  const paths = (v: unknown, at: (string | number)[] = []): (string | number)[][] => [
    at,
    ...(typeof v === 'object' && v !== null
      ? Object.entries(v).flatMap(([k, x]) => paths(x, [...at, Array.isArray(v) ? Number(k) : k]))
      : []),
  ];
  const odd = fc.oneof(
    json,
    fc.constantFrom<unknown>(null, true, -1, 1.5, 2 ** 60, 1e308, '', '$', '$x', '0x', 'constructor', [], {}, [[[]]], {
      toString: 1,
    }),
    fc.constant({ constructor: { prototype: 1 } }),
  );

  test('a damaged document is refused with a path, or still one', () => {
    const docs = all.map(([, text]) => text).filter((t) => t.length < 7000);
    fc.assert(
      fc.property(fc.constantFrom(...docs), fc.nat(), odd, fc.boolean(), (text, n, v, add) => {
        const d = JSON.parse(text) as Record<string, unknown>;
        const where = paths(d);
        const path = where[n % where.length]!;
        let parent: unknown = d;
        for (const p of path.slice(0, -1)) parent = (parent as Record<string | number, unknown>)[p];
        const key = path.at(-1) ?? 'steps';
        const target = parent as Record<string | number, unknown>;
        if (add && typeof target === 'object' && !Array.isArray(target)) target[`${key}x`] = v;
        else target[key] = v;
        const broken = JSON.stringify(d);
        const find = (name: string): Vendor | null => (name === 'smmuv3' ? findFake(name) : null);
        const r = parseDocument(broken, find);
        if (r.ok) expect(validates(schema, JSON.parse(broken))).toBe(true);
        else {
          expect(r.error.message).toMatch(/^expected |not allowed$|twice/);
          expect(r.error.line).toBe(1);
        }
        // What the schema refuses is never accepted (the reverse is not so: names, ranges and vendors are checked too).
        if (!validates(schema, JSON.parse(broken))) expect(r.ok).toBe(false);
      }),
      { numRuns: 250 },
    );
  }, 60_000);

  test('a huge text is refused quickly', () => {
    const started = performance.now();
    const steps = (s: string, n: number): string =>
      `{"format":"iommuscope/1","title":"","platform":{"iommu":"smmuv3"},"steps":[${s.repeat(n)}1]}`;
    const huge = [
      'x'.repeat(10_000_000),
      '[1,'.repeat(2_500_000),
      '{"a":'.repeat(1_600_000),
      `"${'\\u0041'.repeat(1_000_000)}`,
      steps('1,', 4_000_000),
      steps('{"do":"memory.write","space":"host","at":0,"u64":["x","x","x"]},', 100_000),
      steps(`{"do":"memory.write","space":"host","at":0,"u64":[${'"x",'.repeat(maxValues)}1]},`, 1),
      steps(
        `{"do":"ioctl","call":"IOMMU_X","in":{${Array.from({ length: 200_000 }, (_, i) => `"k${i}":true,`).join('')}"z":1}},`,
        1,
      ),
      steps(`{"do":"memory.write","space":"host","at":0,"u64":[${'"x",'.repeat(1_500_000)}1]},`, 1),
      steps(`{"do":"guest.boot","expect":{"commands":[${'1,'.repeat(2_000_000)}1]}},`, 1),
      `{${Array.from({ length: 400_000 }, (_, i) => `"k${i}":0`).join(',')}}`,
      `{"format":"iommuscope/1","devices":[${'{"x":1},'.repeat(900_000)}1]}`,
    ];
    for (const text of huge) {
      const e = errorOf(text);
      expect(e.message.length).toBeLessThan(1000);
      expect(e.path.length).toBeLessThan(300);
    }
    expect(performance.now() - started).toBeLessThan(30_000);
    expect(errorOf('x'.repeat(maxLength + 1)).message).toBe('expected a document of at most 8 MiB, found 8.0 MiB');
  }, 60_000);

  test('keys of the language are keys like others', () => {
    const text = JSON.stringify(
      toy([{ do: 'ioctl', call: 'IOMMU_X', in: { constructor: 1, toString: '0x2', valueOf: [] } }]),
    );
    expect(parseDocument(text, findFake).ok).toBe(true);
    expect(({} as Record<string, unknown>)['constructor']).toBe(Object);
    expect(checkScenario(JSON.parse(text.replace('"title"', '"__proto__":{"x":1},"title"')), findFake).ok).toBe(false);
  });
});

describe('one operation against a document', () => {
  const document = toy(basic());

  test('a correct one is given back', () => {
    const step = { do: 'device.dma', device: 'nic0', iova: '$ioas+0x1000' };
    expect(validateOperation(step, { document }, findFake)).toEqual({ ok: true, step });
  });

  test('paths are those inside the operation', () => {
    const r = validateOperation({ do: 'device.dma', device: 'nic0', iova: 'x' }, { document }, findFake);
    expect(r.ok || r.error).toEqual({ path: 'iova', message: expect.stringContaining('found "x"') });
  });

  test('names that are bound after the position are not there yet', () => {
    const step = { do: 'device.dma', device: 'nic0', iova: '$ioas' };
    expect(validateOperation(step, { document, at: 0 }, findFake).ok).toBe(false);
    expect(validateOperation(step, { document, at: 1 }, findFake).ok).toBe(true);
  });

  test('anything is answered', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (v) => {
        expect(validateOperation(v, { document }, findFake).ok).toBe(false);
      }),
    );
  });
});
