import { describe, expect, test } from 'vitest';
import samples from './fixtures/dmesg-arm.json';
import type { LogRecord } from './index.ts';
import { decodeLog } from './index.ts';

type Facts = Record<string, unknown>;

/** The order of the format's description: records first, then the lines that repeat them. */
const ordered = (records: readonly LogRecord[]): LogRecord[] => {
  const rank = (r: LogRecord): number => Number(r.type === 'smmuv3_event_line');
  return [...records].sort((a, b) => rank(a) - rank(b));
};

describe('real logs', () => {
  test.each(samples.map((s) => [s.id, s] as const))('%s', (_, { text, expect: want }) => {
    const { records } = decodeLog(text);
    const expected = want.records as Facts[];
    expect(records.length).toBe(expected.length);
    ordered(records).forEach((r, i) => {
      expect(r).toMatchObject(expected[i] as Facts);
      expect(r.vendor).toBe(want.vendor);
      expect(r.arch).toBe(want.arch);
      if ('supported' in want) expect(r.supported).toBe(want.supported);
      expect(r.explain).toMatch(/^[^\n]{20,}\.$/);
      expect(text.split('\n')[r.line - 1]).toBeDefined();
    });
    // A fact that the description marks unknown must not be made up.
    for (const [i, r] of ordered(records).entries())
      for (const key of ['input_addr', 'ipa_field', 'rnw', 'stage', 'hwcons'])
        if (!(key in (expected[i] as Facts))) expect(r[key], `${key} of record ${i}`).toBeUndefined();
    if ('suppressed_callbacks' in want)
      expect(records.some((r) => r.suppressed_callbacks === want.suppressed_callbacks)).toBe(true);
    if ('context' in want) expect(records[0]?.context).toEqual(want.context);
  });

  test('line numbers and repeated lines', () => {
    const text = samples.find((s) => s.id === 'arm-024')?.text ?? '';
    expect(decodeLog(text).records.map((r) => [r.type, r.line, r.repeats_line])).toEqual([
      ['smmuv3_event', 2, undefined],
      ['smmuv3_event_line', 7, 2],
      ['smmuv3_event', 9, undefined],
      ['smmuv3_event_line', 14, 9],
    ]);
    // The paste of arm-017 begins with the line of an earlier record.
    const other = samples.find((s) => s.id === 'arm-017')?.text ?? '';
    expect(decodeLog(other).records.every((r) => r.repeats_line === undefined)).toBe(true);
  });
});

const P = '[   12.345678] arm-smmu-v3 arm-smmu-v3.0.auto: ';

describe('event records', () => {
  const event = (id: string, ...words: string[]): LogRecord => {
    const text = [`event 0x${id} received:`, ...words.map((w) => `\t0x${w.padStart(16, '0')}`)]
      .map((l) => P + l)
      .join('\n');
    const { records, unread } = decodeLog(text);
    expect(unread).toEqual([]);
    expect(records.length).toBe(1);
    return records[0] as LogRecord;
  };

  test('a stage-2 fault on a stage-1 table entry', () => {
    const r = event('10', '0000010800000010', '0000018800000000', 'fffff040', '48203000');
    expect(r).toMatchObject({
      event: 'F_TRANSLATION',
      s2: 1,
      stage: 2,
      class: 1,
      class_name: 'TTD',
      rnw: 1,
      ipa_field: '0x48203000',
      ipa_valid: true,
    });
    expect(r.where).toEqual({ at: 'hw.s2tlb', stage: 2, sid: '0x108', class: 'TTD' });
    expect(r.explain).toContain('failed at stage 2');
    expect(r.explain).toContain('0x48203000 (where a stage-1 table entry lies)');
    expect(r.layout).toBe('smmuv3.evt.f_translation');
  });

  test('a stalled permission fault with a PASID, and its table access', () => {
    const r = event('13', '0000010800005813', '0000128180000012', '7f0000001000', '48300000');
    expect(r).toMatchObject({
      event: 'F_PERMISSION',
      ssv: 1,
      ssid: '0x5',
      stall: 1,
      stag: '0x12',
      class_name: 'IN',
      s2: 1,
    });
    expect(r.ttrnw).toBeUndefined();
    expect(r.explain).toContain('stalled with STAG 0x12');
    expect(event('13', '0000010800000013', '0000118000000000', '1000', '48300000').ttrnw).toBe(1);
  });

  test('each event has only the fields of its own record', () => {
    expect(event('04', '0000010800000004', '0000100800000080', 'fe040000', '7e04c440')).not.toHaveProperty(
      'input_addr',
    );
    expect(event('09', '0000010800000009', '10003', '0', '0000880045100000')).toMatchObject({
      event: 'F_CD_FETCH',
      reason: '0x3',
      gpcf: 1,
      fetch_addr: '0x880045100000',
    });
    expect(event('0b', '000001080000000b', '0000018800000001', 'fffff040', '0000880045100008')).toMatchObject({
      event: 'F_WALK_EABT',
      stage: 2,
      class_name: 'TTD',
      input_addr: '0xfffff040',
      fetch_addr: '0x880045100008',
    });
    // C_BAD_SUBSTREAMID has no SSV bit; its SubstreamID always counts.
    expect(event('08', '0000010800005008', '0', '0', '0')).toMatchObject({
      event: 'C_BAD_SUBSTREAMID',
      ssv: 0,
      ssid: '0x5',
    });
    expect(event('06', '0000010800005006', '0', '0', '0')).toMatchObject({ event: 'F_STREAM_DISABLED', ssid: null });
    expect(event('07', '0000010800000007', '0000000800000000', '1234', '0')).toMatchObject({
      event: 'F_TRANSL_FORBIDDEN',
      access: 'read',
      input_addr: '0x1234',
    });
    expect(event('24', '0000010800000024', '0000204a00000000', '7f0000001000', '0')).toMatchObject({
      event: 'E_PAGE_REQUEST',
      span: 2,
      permissions: ['uX', 'uR', 'pW'],
    });
    expect(event('e3', '00000108000000e3', '0', '0', '0')).toMatchObject({ event: 'IMPDEF_EVENT_0xe3', sid: '0x108' });
    expect(event('30', '0000010800000030', '0', '0', '0')).toMatchObject({ event: 'RESERVED_0x30' });
  });

  test('records of two SMMUs, word by word in between', () => {
    const line = (n: number, s: string): string => `[1.0] arm-smmu-v3 arm-smmu-v3.${n}.auto: ${s}`;
    const a = [
      'event 0x10 received:',
      '0x0000010800000010',
      '0x0000018800000000',
      '0x00000000fffff040',
      '0x0000000048203000',
    ];
    const b = [
      'event 0x13 received:',
      '0x0000020800000013',
      '0x0000028000000000',
      '0x0000000011111040',
      '0x0000000048300000',
    ];
    const text = [
      line(0, a[0]!),
      line(1, b[0]!),
      line(0, a[1]!),
      line(1, b[1]!),
      line(1, b[2]!),
      line(0, a[2]!),
      line(0, a[3]!),
      line(1, b[3]!),
      line(1, b[4]!),
      line(0, a[4]!),
    ];
    const { records } = decodeLog(text.join('\n'));
    expect(records.map((r) => [r.smmu, r.sid, r.raw])).toEqual([
      ['arm-smmu-v3.0.auto', '0x108', a.slice(1)],
      ['arm-smmu-v3.1.auto', '0x208', b.slice(1)],
    ]);
  });

  test('a new header ends a record that lacks words', () => {
    const text = [
      `${P}event 0x10 received:`,
      `${P}\t0x0000010800000010`,
      `${P}event 0x10 received:`,
      `${P}\t0x0000020800000010`,
    ].join('\n');
    expect(decodeLog(text).records.map((r) => [r.sid, r.incomplete])).toEqual([
      ['0x108', '1 of 4 words'],
      ['0x208', '1 of 4 words'],
    ]);
    expect(decodeLog(`${P}event 0x10 received:`).records[0]).toMatchObject({
      event: 'F_TRANSLATION',
      incomplete: '0 of 4 words',
      raw: [],
    });
  });

  test('a first word that is not that of the header is not decoded as one', () => {
    const r = decodeLog([`${P}event 0x10 received:`, `${P}\t0x0000020000000000`, `${P}\t0x00000000ff9bc000`].join('\n'))
      .records[0];
    expect(r?.event).toBe('F_TRANSLATION');
    expect(r).not.toHaveProperty('sid');
    expect(r?.incomplete).toMatch(/first word/);
  });

  test('a word with digits missing ends the record: what follows is not shifted into its place', () => {
    const text = [
      `${P}event 0x10 received:`,
      `${P}\t0x0000010800000010`,
      `${P}\t0x0000020000`,
      `${P}\t0x00000000fffff040`,
      `${P}\t0x0000000000000000`,
    ];
    const { records, unread } = decodeLog(text.join('\n'));
    expect(records).toHaveLength(1);
    expect(records[0]).toMatchObject({
      raw: ['0x0000010800000010'],
      incomplete: '1 of 4 words',
      cut_word: '0x0000020000',
    });
    expect(records[0]).not.toHaveProperty('input_addr');
    expect(unread).toMatchObject([{ line: 4, lines: 2 }]);
  });

  test('words without a header: a whole record is read, a part is named', () => {
    const words = ['0x0002060000000010', '0x0000020000000000', '0x00000000ff9bc000', '0x0000000000000000'].map(
      (w) => P + w,
    );
    expect(decodeLog(words.join('\n')).records).toMatchObject([
      { sid: '0x20600', header: false, input_addr: '0xff9bc000' },
    ]);
    const part = decodeLog(words.slice(1).join('\n'));
    expect(part.records).toEqual([]);
    expect(part.unread).toMatchObject([{ line: 1, lines: 3, why: expect.stringContaining('belong to no record') }]);
  });
});

describe('printed lines', () => {
  test('every form that the kernel prints', () => {
    const text = [
      'event: F_PERMISSION client: 0000:75:00.1 sid: 0x7501 ssid: 0x1 iova: 0xaaaada7af000 ipa: 0x48203000',
      'priv inst read s2 "Stage 1 translation table fetch" ttd_read stall stag: 0x176',
      'event: F_CD_FETCH client: 0000:75:00.1 sid: 0x7501 ssid: 0x0 fetch_addr: 0x880045100000',
      'event: UNKNOWN client: (unassigned sid) sid: 0x7501 ssid: 0x0',
    ];
    expect(decodeLog(text.map((l) => P + l).join('\n')).records).toMatchObject([
      {
        event: 'F_PERMISSION',
        client: '0000:75:00.1',
        ssid: '0x1',
        ipa: '0x48203000',
        privileged: true,
        instruction: true,
        access: 'read',
        stage: 2,
        class_text: 'Stage 1 translation table fetch',
        ttd_access: 'read',
        stall: true,
        stag: '0x176',
      },
      { event: 'F_CD_FETCH', fetch_addr: '0x880045100000' },
      { event: 'UNKNOWN', client: '(unassigned sid)' },
    ]);
  });

  test('wrapped in the middle of words and numbers', () => {
    const text = `${P}event: F_TRANSLA\nTION client: 0002:2\n1:00.0 sid: 0x21\n00 ssid: 0x0 iova: 0xff9b\nc000 ipa: 0x0\n${P}unpriv data wri\nte s1 "Input addre\nss caused fault" stag: 0x0`;
    const { records, unread } = decodeLog(text);
    expect(unread).toEqual([]);
    expect(records).toMatchObject([
      {
        event: 'F_TRANSLATION',
        client: '0002:21:00.0',
        sid: '0x2100',
        iova: '0xff9bc000',
        ipa: '0x0',
        access: 'write',
        class_text: 'Input address caused fault',
        stag: '0x0',
      },
    ]);
  });

  test('the rest of a PCI address is not taken for a time of day', () => {
    const text = `${P}event: F_TRANSLATION client: 00\n00:05:00.1 sid: 0x500 ssid: 0x0 iova: 0x1000 ipa: 0x0`;
    expect(decodeLog(text)).toMatchObject({ records: [{ client: '0000:05:00.1', iova: '0x1000' }], unread: [] });
  });

  test('cut off: what stands is read, what is missing is absent', () => {
    const r = decodeLog(`${P}event: F_TRANSLATION client: 0002:21:00.0 sid: 0x2100 ssid: 0x0 io`).records[0];
    expect(r).toMatchObject({ event: 'F_TRANSLATION', sid: '0x2100', ssid: '0x0' });
    expect(r).not.toHaveProperty('iova');
    expect(decodeLog(`${P}unpriv data write s1 "Input address caused fault" stag: 0x0`).records).toMatchObject([
      { event: null, access: 'write', stage: 1 },
    ]);
  });

  test('the second line without a driver name, and another driver behind it', () => {
    const text =
      'event: F_TRANSLATION client: a.dma sid: 0x8 ssid: 0x0 iova: 0x1000 ipa: 0x0\nunpriv data read s1 "Input address caused fault" stag: 0x0 enp3s0: up';
    expect(decodeLog(text).records).toMatchObject([{ client: 'a.dma', access: 'read', stag: '0x0' }]);
  });
});

describe('queue and global errors', () => {
  test('an illegal command, dumped', () => {
    const text = [
      'unexpected global error reported (0x00000001), this could be serious',
      'CMDQ error (cons 0x01000022): Illegal command',
      'skipping command in error state:',
      '\t0x0001000000000012',
      '\t0x00000000fffff701',
    ];
    const { records, unread } = decodeLog(text.map((l) => P + l).join('\n'));
    expect(unread).toEqual([]);
    expect(records).toMatchObject([
      { type: 'smmuv3_gerror', gerror: '0x1', bits: ['CMDQ_ERR'] },
      {
        type: 'smmuv3_cmdq_error',
        cons: '0x1000022',
        err: 1,
        err_name: 'CERROR_ILL',
        rd: '0x22',
        printed: 'Illegal command',
        command: 'CMD_TLBI_NH_VA',
        raw: ['0x0001000000000012', '0x00000000fffff701'],
      },
    ]);
    expect(records[1]?.explain).toContain('TLBI_NH_VA asid 1 va 0xfffff000');
    expect(records[1]?.where).toEqual({ at: 'hw.cmdq' });
  });

  test('a hand-shortened, wrapped one without instance names', () => {
    const text = `  nvme: --------hacking-----------
  arm-smmu-v3: unexpected global error reported (0x00000001),
               this could be serious
  arm-smmu-v3: CMDQ error (cons 0x01000022): Illegal command
  arm-smmu-v3: skipping command in error state:
  arm-smmu-v3:  0x0000000000000000
  arm-smmu-v3:  0x0000000000000000`;
    const { records, unread } = decodeLog(text);
    expect(records).toMatchObject([
      { line: 2, bits: ['CMDQ_ERR'] },
      { line: 4, err_name: 'CERROR_ILL', command: null, text: 'reserved opcode 0x0' },
    ]);
    expect(unread).toMatchObject([{ line: 1 }]);
  });

  test('every CMDQ error text and code', () => {
    const error = (cons: string, text: string): LogRecord =>
      decodeLog(`${P}CMDQ error (cons ${cons}): ${text}`).records[0] as LogRecord;
    expect(error('0x00000010', 'No error')).toMatchObject({ err: 0, err_name: 'CERROR_NONE' });
    expect(error('0x02000010', 'Abort on command fetch')).toMatchObject({ err: 2, err_name: 'CERROR_ABT' });
    expect(error('0x03000010', 'ATC invalidate timeout')).toMatchObject({ err: 3, err_name: 'CERROR_ATC_INV_SYNC' });
    expect(error('0x04000010', 'Unknown')).toMatchObject({ err: 4, printed: 'Unknown' });
    const abort = decodeLog(`${P}CMDQ error (cons 0x02000010): Abort on command fetch\n${P}retrying command fetch`);
    expect(abort.records).toHaveLength(1);
    expect(abort.unread).toEqual([]);
  });

  test('all bits of a global error, with the lines that repeat them', () => {
    const lines = [
      'unexpected global error reported (0x000001fc), this could be serious',
      'device has entered Service Failure Mode!',
      'GERROR MSI write aborted',
      'PRIQ MSI write aborted',
      'EVTQ MSI write aborted',
      'CMDQ MSI write aborted',
      'PRIQ write aborted -- events may have been lost',
      'EVTQ write aborted -- events may have been lost',
    ];
    const { records, unread } = decodeLog(lines.map((l) => P + l).join('\n'));
    expect(unread).toEqual([]);
    expect(records).toHaveLength(1);
    expect(records[0]).toMatchObject({
      gerror: '0x1fc',
      bits: [
        'EVENTQ_ABT_ERR',
        'PRIQ_ABT_ERR',
        'MSI_CMDQ_ABT_ERR',
        'MSI_EVENTQ_ABT_ERR',
        'MSI_PRIQ_ABT_ERR',
        'MSI_GERROR_ABT_ERR',
        'SFM_ERR',
      ],
      printed: lines.slice(1),
    });
    expect(decodeLog(P + lines[7]).records).toMatchObject([{ gerror: null, bits: ['EVENTQ_ABT_ERR'] }]);
  });

  test('time-outs, overflows, page requests, CMDQV', () => {
    const one = (body: string): LogRecord => decodeLog(body).records[0] as LogRecord;
    expect(one(`${P}CMD_SYNC timeout at 0x0000b1b7 [hwprod 0x0000b1c0, hwcons 0x0000b1b7]`)).toMatchObject({
      type: 'smmuv3_cmd_sync_timeout',
      at: '0xb1b7',
      hwprod: '0xb1c0',
      hwcons: '0xb1b7',
    });
    expect(one(`${P}CMD_SYNC timeout at 0x0000b1b7 [hwprod 0x0000b1c0, hwcons 0x0300b1b6]`).explain).toContain(
      'CERROR_ATC_INV_SYNC',
    );
    expect(one(`${P}CMD_SYNC timeout`)).not.toHaveProperty('at');
    expect(one(`${P}PRIQ overflow detected -- requests lost`).type).toBe('smmuv3_priq_overflow');
    const pri = decodeLog(
      `${P}unexpected PRI request received:\n${P}\tsid 0x00000108.0x00005: [3L] unprivileged RW access at iova 0x00007f0000001000`,
    );
    expect(pri.records).toMatchObject([
      {
        type: 'smmuv3_pri_request',
        sid: '0x108',
        ssid: '0x5',
        group: 3,
        last: true,
        privileged: false,
        permissions: 'RW',
        iova: '0x7f0000001000',
      },
    ]);
    expect(
      one(`${P}unexpected error reported. vintf_map: 0000000000000003, vcmdq_map: 00000000000000000000000000000004`),
    ).toMatchObject({ type: 'tegra241_cmdqv_error', vintf_map: '0x3', vcmdq_map: '0x4' });
  });

  test('every kind of line head', () => {
    for (const head of [
      '[   12.345678] ',
      '<3>[   12.345678][  T123] ',
      'kern  :err   : [   12.345678] ',
      'Nov 24 08:12:01 host kernel: ',
      '2024-11-24T08:12:01.123456+01:00 host kernel: [  12.3] ',
      '[Mon Nov 24 08:12:01 2025] ',
      '[  +0.000108] ',
      '> > ',
      '>>',
      '| ',
      '',
    ]) {
      const r = decodeLog(`${head}arm-smmu-v3 2b400000.iommu: EVTQ overflow detected -- events lost`).records;
      expect(r, head).toMatchObject([{ type: 'smmuv3_evtq_overflow', smmu: '2b400000.iommu' }]);
    }
  });
});

describe('raw commands and records', () => {
  const commands: readonly [string, string][] = [
    ['two words', '0x0001000000000012 0x00000000fffff701'],
    ['two words without 0x', '0001000000000012 00000000fffff701'],
    ['two lines', '0001000000000012\n00000000fffff701'],
    ['bytes', '12 00 00 00 00 00 01 00 01 f7 ff ff 00 00 00 00'],
    ['a C array', '{ 0x12, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x01, 0xf7, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00 }'],
    ['hexdump -C', '00000000  12 00 00 00 00 00 01 00  01 f7 ff ff 00 00 00 00  |................|'],
    ['xxd', '00000000: 1200 0000 0000 0100 01f7 ffff 0000 0000  ................'],
    ['xxd -g8', '1200000000000100 01f7ffff00000000'],
    ['hexdump', '0000000 0012 0000 0000 0001 f701 ffff 0000 0000'],
    ['32-bit words', '0x00000012 0x00010000 0xfffff701 0x00000000'],
    ['one string', '120000000000010001f7ffff00000000'],
    ['a debugger', '0xffff800010000000:\t0x0001000000000012\t0x00000000fffff701'],
    ['a label and no leading zeros', 'cmd: 0x1000000000012 0xfffff701'],
    ['quoted', '> 0001000000000012 00000000fffff701'],
  ];
  test.each(commands)('a command as %s', (_, text) => {
    const { records, unread } = decodeLog(text);
    expect(unread).toEqual([]);
    expect(records).toHaveLength(1);
    expect(records[0]).toMatchObject({
      type: 'smmuv3_command',
      command: 'CMD_TLBI_NH_VA',
      opcode: '0x12',
      raw: ['0x0001000000000012', '0x00000000fffff701'],
      fields: { VMID: 0, ASID: 1, Leaf: 1, TTL: 3, TG: 1, NUM: 0, SCALE: 0, Address: '0xfffff000' },
      layout: 'smmuv3.cmd.tlbi_nh_va',
      where: { at: 'hw.cmdq' },
    });
  });

  test('a queue of commands, each with its own line', () => {
    const text =
      '0001000000000012 00000000fffff701\n000000000fc02046 0000000000000000\n0000000800000040 00000000fffff000\n000000000fc02046 0000000000000000';
    expect(decodeLog(text).records.map((r) => [r.line, r.text])).toEqual([
      [1, 'TLBI_NH_VA asid 1 va 0xfffff000 pages 1 of 4K level 3 leaf'],
      [2, 'SYNC sev'],
      [3, 'ATC_INV sid 0x8 va 0xfffff000 pages 1'],
      [4, 'SYNC sev'],
    ]);
  });

  test('an event record in bytes and in words', () => {
    const bytes = '10 00 00 00 08 01 00 00 00 00 00 00 00 02 00 00\n40 f0 ff ff 00 00 00 00 00 00 00 00 00 00 00 00';
    const words = '0000010800000010 0000020000000000 00000000fffff040 0000000000000000';
    for (const text of [bytes, words])
      expect(decodeLog(text).records).toMatchObject([
        { type: 'smmuv3_event', event: 'F_TRANSLATION', sid: '0x108', input_addr: '0xfffff040' },
      ]);
  });

  test('a reserved opcode is read where the text holds nothing else', () => {
    expect(decodeLog('00000000000000ff 0000000000000000').records).toMatchObject([{ command: null, opcode: '0xff' }]);
    const among = decodeLog('hello\naa bb cc dd ee ff 00 11 22 33 44 55 66 77 88 99\nworld');
    expect(among.records).toEqual([]);
    expect(among.unread).toMatchObject([
      { line: 1 },
      { line: 2, why: expect.stringContaining('neither a command nor an event') },
      { line: 3 },
    ]);
  });
});

describe('what is not SMMUv3 is named, not read', () => {
  test('SMMUv2, with what it prints and a refusal', () => {
    const text = `arm-smmu 15000000.iommu: Unexpected global fault, this could be serious
arm-smmu 15000000.iommu: 	GFSR 0x00000002, GFSYNR0 0x00000002, GFSYNR1 0x00000043, GFSYNR2 0x00000000
arm-smmu 15000000.iommu: probing hardware configuration...
> arm-smmu 15000000.iommu: Unhandled context fault: fsr=0x402
> ,iova=0xd65504710, fsynr=0x100011, cbfrsynra=0x0, cb=6
> arm-smmu 15000000.iommu: FSR    = 00000402 [Format=2 TF],
> SID=0x0
# arm-smmu b40000.iommu: Unhandled context fault: fsr=3D0x408, iova=3D0x=
01003000, fsynr=3D0x13, cbfrsynra=3D0x0, cb=3D0
(XEN) smmu: /smmu@fd800000: Unhandled context fault: fsr=0x402, iova=0x8424cb148, fsynr=0xb0001, cb=0
arm-smmu arm-smmu.0.auto: Unhandled context fault: iova=0x00001000, fsynr=0x11, cb=2
arm_smmu_context_fault: 12 callbacks suppressed`;
    const { records, unread } = decodeLog(text);
    expect(records.map((r) => [r.line, r.type])).toEqual([
      [2, 'smmuv2_global_fault'],
      [4, 'smmuv2_context_fault'],
      [8, 'smmuv2_context_fault'],
      [10, 'smmuv2_context_fault'],
      [11, 'smmuv2_context_fault'],
    ]);
    for (const r of records)
      expect(r).toMatchObject({ arch: 'smmuv2', supported: false, refusal: expect.stringContaining('SMMUv2') });
    expect(records[1]).toMatchObject({ fsr: '0x402', iova: '0xd65504710', fsynr: '0x100011', cbfrsynra: '0x0', cb: 6 });
    expect(records[2]).toMatchObject({ iova: '0x01003000', cb: 0 });
    expect(records[3]).toMatchObject({ hypervisor: 'xen' });
    expect(unread.map((u) => u.line)).toEqual([3, 12]);
    expect(unread.every((u) => u.why.includes('SMMUv2'))).toBe(true);
  });

  test('other vendors, QEMU and trace events', () => {
    const cases: readonly [string, RegExp][] = [
      ['DMAR: Host address width 46', /Intel VT-d/],
      ['(XEN) [VT-D]iommu_enable_translation: iommu->reg = ffff82c0009d0000', /Intel VT-d/],
      [
        'ixgbe 0000:25:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0010 address=0xbdcb70c0 flags=0x0070]',
        /AMD-Vi/,
      ],
      ['vtd_dmar_enable is on', /QEMU/],
      ['virtio_iommu_map domain=1 virt_start=0x0', /QEMU/],
      ['rk_iommu ff900800.iommu: Page fault at 0x00000000 of type read', /does not know/],
    ];
    for (const [text, why] of cases) {
      const d = decodeLog(text);
      expect(d.records, text).toEqual([]);
      expect(d.unread, text).toMatchObject([{ line: 1, why: expect.stringMatching(why) }]);
    }
  });

  test('lines of other subsystems are counted together', () => {
    const d = decodeLog('one\ntwo\n\nthree\nfour');
    expect(d).toEqual({
      records: [],
      unread: [
        { line: 1, text: 'one', why: 'no IOMMU message recognised', lines: 2 },
        { line: 4, text: 'three', why: 'no IOMMU message recognised', lines: 2 },
      ],
    });
    expect(decodeLog('')).toEqual({ records: [], unread: [] });
  });
});
