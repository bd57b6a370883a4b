import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ALLOCATION, PageRequests, PciDevice, ridText } from './index.ts';

const device = (o: { pri?: boolean; pasidBits?: number } = {}): PciDevice =>
  new PciDevice({ name: 'd', rid: 0x108, vrid: 8, pasidBits: o.pasidBits ?? 16, ats: true, pri: o.pri ?? true });

const data = { attr: 3, level: 3, granule: 12, sid: 0x108, ssid: -1, ipaHi: 0, ipaLo: 0 };

describe('function-level reset', () => {
  it('empties the ATC, switches ATS, PRI and PASID off and forgets page requests', () => {
    const d = device();
    d.atsEnabled = true;
    for (const tag of [3, 4, 0x100000]) d.atc.insert(0, tag, 0, 0x1000, 12, 12, 0, 0x2000, data);
    d.pri.sent(3, 1, true);
    d.pri.respond(1, -1, 'success');
    d.pri.sent(3, 2, true);
    d.pri.respond(9, -1, 'success');
    expect(d.pri.unexpected).toBe(true);
    let during = false;
    d.atc.onRemove = () => {
      during = d.inReset;
    };
    d.reset();
    expect(during).toBe(true);
    expect(d.inReset).toBe(false);
    expect([d.atc.size, d.atsEnabled, d.pasidEnabled, d.pri.enabled]).toEqual([0, false, false, false]);
    expect([d.pri.waiting(), d.pri.answerOf(1), d.pri.unexpected, d.pri.failed]).toEqual([[], null, false, false]);
  });

  it('leaves what the device can do', () => {
    const d = device();
    d.reset();
    expect([d.atsCapable, d.priCapable, d.pasidBits, ridText(d.rid)]).toEqual([true, true, 16, '0000:01:01.0']);
  });
});

describe('a device', () => {
  it('starts with PASID and PRI as it has them, and ATS off', () => {
    expect([device().pasidEnabled, device().pri.enabled, device().atsEnabled]).toEqual([true, true, false]);
    const less = device({ pasidBits: 0, pri: false });
    expect([less.pasidEnabled, less.pri.enabled, less.canStall]).toEqual([false, false, false]);
  });

  it('is kept by save and load', () => {
    const d = device();
    d.atsEnabled = true;
    d.atc.insert(0, 3, 0, 0x1000, 12, 12, 0, 0x2000, data);
    d.pasidEnabled = false;
    d.pri.enable(5);
    d.pri.sent(-1, 3, false);
    d.pri.sent(-1, 4, true);
    d.pri.respond(4, -1, 'invalid request');
    const state = structuredClone(d.save());
    const other = device();
    other.load(state);
    expect(other.save()).toEqual(state);
    expect([other.pri.allocation, other.pri.outstanding, other.pri.answerOf(4)?.code]).toEqual([
      5,
      1,
      'invalid request',
    ]);
    expect([other.atsEnabled, other.pasidEnabled, other.atc.size]).toEqual([true, false, 1]);
  });
});

describe('credits of page requests, PCI Express 10.4.1', () => {
  it('are never exceeded and all come back, over any order of requests and answers', () => {
    const op = fc.record({
      group: fc.integer({ min: 0, max: 5 }),
      last: fc.boolean(),
      answer: fc.boolean(),
      pasid: fc.constantFrom(-1, 2),
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.array(op, { maxLength: 60 }), (allocation, ops) => {
        const p = new PageRequests(true);
        p.enable(allocation);
        /** Groups under way: their pages, and whether the last was sent. */
        const model = new Map<number, { pages: number; pasid: number; closed: boolean }>();
        for (const o of ops) {
          const g = model.get(o.group);
          if (o.answer) {
            expect(p.respond(o.group, -1, 'success')).toBe(g !== undefined);
            model.delete(o.group);
            continue;
          }
          const used = [...model.values()].reduce((n, x) => n + x.pages, 0);
          const may = used < allocation && !(g?.closed ?? false) && (g === undefined || g.pasid === o.pasid);
          expect(p.refusal(o.pasid, o.group) === null).toBe(may);
          if (!may) continue;
          p.sent(o.pasid, o.group, o.last);
          model.set(o.group, { pages: (g?.pages ?? 0) + 1, pasid: o.pasid, closed: o.last });
          expect(p.outstanding).toBe(used + 1);
          expect(p.outstanding).toBeLessThanOrEqual(allocation);
        }
        for (const g of p.waiting()) p.respond(g.group, -1, 'success');
        expect(p.outstanding).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  it('are 32 unless software says otherwise', () => {
    expect([new PageRequests(true).allocation, ALLOCATION]).toEqual([32, 32]);
  });
});
