import { describe, expect, test } from 'vitest';
import type { Layout } from '../../bits/index.ts';
import { decodePageRequest, encodePageRequest, eventLayouts, priLayout } from './index.ts';

/** Fields as the figures of Arm IHI 0070 place them: name and bits of the whole record. */
type Figure = Readonly<Record<string, readonly [hi: number, lo: number]>>;

const placed = (l: Layout): Record<string, [number, number]> =>
  Object.fromEntries(l.fields.map((f) => [f.name, [f.word * 64 + f.hi, f.word * 64 + f.lo]]));

const stream: Figure = { EventID: [7, 0], SID: [63, 32] };
const head: Figure = { ...stream, SSV: [11, 11], SSID: [31, 12] };
const reason: Figure = { Reason: [79, 64] };
const access: Figure = { PnU: [97, 97], InD: [98, 98], RnW: [99, 99] };
const input: Figure = { InputAddr: [191, 128] };
const fetch: Figure = { ...reason, GPCF: [80, 80], FetchAddr: [243, 195] };

describe('event records whose figures have text, Arm IHI 0070 7.3', () => {
  const figures: Readonly<Record<string, Figure>> = {
    F_UUT: { ...head, ...reason, ...access, ...input },
    C_BAD_STREAMID: head,
    F_STE_FETCH: { ...head, ...fetch },
    C_BAD_STE: head,
    F_STREAM_DISABLED: stream,
    C_BAD_SUBSTREAMID: { ...stream, SSID: [31, 12] },
    C_BAD_CD: head,
    F_CFG_CONFLICT: { ...head, ...reason },
    E_PAGE_REQUEST: {
      ...head,
      uX: [97, 97],
      uW: [98, 98],
      uR: [99, 99],
      pX: [101, 101],
      pW: [102, 102],
      pR: [103, 103],
      Span: [115, 108],
      InputAddr: [191, 140],
    },
    F_VMS_FETCH: { ...head, ...fetch },
  };
  test.each(Object.keys(figures))('%s', (name) => {
    expect(placed(eventLayouts.find((l) => l.name === name)!)).toEqual(figures[name]);
  });
});

describe('the PRI queue record, Arm IHI 0070 8', () => {
  test('is placed as in the figure', () => {
    expect(placed(priLayout)).toEqual({
      SID: [31, 0],
      SSID: [51, 32],
      PermPriv: [58, 58],
      PermExec: [59, 59],
      PermRead: [60, 60],
      PermWrite: [61, 61],
      Last: [62, 62],
      SSV: [63, 63],
      PRGIndex: [72, 64],
      Address: [127, 76],
    });
  });

  test('is read back as it was written', () => {
    const r = { sid: 0x108, ssid: 0xabcde, page: 0xffff_0000_0000_1000n, group: 511, last: true };
    const words = encodePageRequest({ ...r, read: false, write: true, exec: true, priv: false });
    expect(decodePageRequest(words)).toEqual({
      SID: 0x108n,
      SSID: 0xabcden,
      PermPriv: 0n,
      PermExec: 1n,
      PermRead: 0n,
      PermWrite: 1n,
      Last: 1n,
      SSV: 1n,
      PRGIndex: 511n,
      Address: 0xffff_0000_0000_1000n,
    });
  });
});
