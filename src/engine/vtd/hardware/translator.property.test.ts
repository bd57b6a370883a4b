import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encode } from '../../bits/index.ts';
import { B, IN_HI, IN_LO, SHIFT } from '../../cache/index.ts';
import { Memory } from '../../memory/index.ts';
import { ANY_DATA, READ, WRITE } from '../../pagetable/x86-64.ts';
import { PciDevice } from '../../pci/index.ts';
import { Trace } from '../../trace/index.ts';
import { contextLayout, pasidLayout } from '../layout/index.ts';
import { Audit } from './audit.ts';
import { VtdCaches } from './caches.ts';
import { physicalFeatures } from './features.ts';
import { ATS_REQUEST, DONE, Translator, UNTRANSLATED } from './translator.ts';

/**
 * Translations through caches against cold ones on the same bytes, whatever the tables are. Tables of both stages lie in the
 * same few pages, which point at one another.
 */

const memory = new Memory(2 ** 32);
const features = physicalFeatures({});
const ROOT = 0x8000_0000;
const CONTEXT = 0x8000_1000;
const DIRECTORY = 0x8000_2000;
const PASIDS = 0x8000_3000;
const state = { rootAddress: BigInt(ROOT) | 0x400n, enabled: true };
const RIDS = [0x10, 0x18];
const devices = RIDS.map(
  (rid) => new PciDevice({ name: `d${rid}`, rid, vrid: rid, pasidBits: 20, ats: true, pri: false }),
);

const pageOf = (n: number): bigint =>
  BigInt((n & 1) * 0x1000 + ((n >> 1) & 1) * 0x20_0000 + ((n >> 2) & 1) * 0x4000_0000);
const INDICES = [0, 1];
const GOOD = 0x367n;

const page = fc.nat({ max: 7 });
const entry: fc.Arbitrary<bigint> = fc.oneof(
  { weight: 40, arbitrary: page.map((n) => pageOf(n) | GOOD) },
  {
    weight: 8,
    arbitrary: fc
      .tuple(page, fc.constantFrom(0, 1, 2, 5, 6, 8, 9, 11, 62))
      .map(([n, b]) => (pageOf(n) | GOOD) ^ (1n << BigInt(b))),
  },
  { weight: 4, arbitrary: fc.constantFrom(0x4000_03e7n, 0x3e7n, 0x2003e7n, 0xfee0_0367n) },
  { weight: 2, arbitrary: fc.constant(0n) },
);
const image = fc.array(fc.tuple(entry, entry), { minLength: 8, maxLength: 8 });

const pasidEntry = fc.record({
  P: fc.constantFrom(1, 1, 1, 1, 1, 0),
  PGTT: fc.constantFrom(1, 2, 3, 3, 3, 4),
  AW: fc.constant(2),
  DID: fc.constantFrom(5, 5, 6),
  SSADE: fc.constantFrom(0, 0, 1),
  PWSNP: fc.constantFrom(1, 1, 1, 1, 0),
  SRE: fc.constantFrom(0, 1),
  WPE: fc.constantFrom(0, 1),
  EAFE: fc.constantFrom(0, 0, 1),
  SSPTPTR: page.map(pageOf),
  FSPTPTR: page.map(pageOf),
});
const pasids = fc.array(pasidEntry, { minLength: 3, maxLength: 3 });

const request = fc.record({
  rid: fc.constantFrom(...RIDS),
  pasid: fc.constantFrom<number[]>(-1, 1, 2),
  address: fc
    .tuple(fc.array(fc.constantFrom(0, 0, 1), { minLength: 3, maxLength: 3 }), fc.nat({ max: 4095 }))
    .map(([at, low]) => at.reduce((a, i, k) => a + i * 2 ** (12 + 9 * k), low)),
  need: fc.constantFrom(READ, WRITE, READ | WRITE, ANY_DATA),
  priv: fc.constantFrom(false, false, true),
});

type Request = typeof request extends fc.Arbitrary<infer T> ? T : never;

const change = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant('entry' as const), page, fc.constantFrom(...INDICES), entry) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('pasid' as const), fc.nat({ max: 2 }), fc.constant(0), pasidEntry) },
);

const put = (at: number, words: readonly bigint[]): void => {
  for (const [i, w] of words.entries()) memory.writeWord(at + 8 * i, w);
};

function lay(
  pages: readonly (readonly bigint[])[],
  entries: readonly (typeof pasidEntry extends fc.Arbitrary<infer T> ? T : never)[],
): void {
  put(ROOT, [BigInt(CONTEXT) | 1n, 0n]);
  const flags = { P: 1, DTE: 1, PASIDE: 1, PASIDDIRPTR: BigInt(DIRECTORY) };
  for (const rid of RIDS) put(CONTEXT + rid * 32, encode(contextLayout, flags));
  put(DIRECTORY, [BigInt(PASIDS) | 1n]);
  for (const [n, e] of entries.entries()) put(PASIDS + 64 * n, encode(pasidLayout, e));
  for (const [n, p] of pages.entries())
    for (const [k, e] of p.entries()) memory.writeWord(Number(pageOf(n)) + INDICES[k]! * 8, e);
}

const translator = (caches: VtdCaches): Translator => new Translator(memory, state, features, caches, null);

function ask(t: Translator, q: Request): { status: number; event: number; out: number; granted: number } {
  const hi = Math.floor(q.address / 2 ** 32);
  const kind = q.need === ANY_DATA ? ATS_REQUEST : UNTRANSLATED;
  const status = t.translate(q.rid, q.pasid, hi, q.address | 0, q.need, q.priv, kind);
  const out = status === DONE ? (t.outHi >>> 0) * 2 ** 32 + (t.outLo >>> 0) : 0;
  return { status, event: t.event, out, granted: status === DONE ? t.granted & 3 : 0 };
}

/** The same request when nothing is cached. Hardware updates are made, as they would be. */
/** Updates that are refused: where an entry stands at two levels, a walk that only looks meets it unmarked twice. */
const updates = /^(SFS\.8|SFS\.9|SSS\.5):/;

const emptied = new VtdCaches(new Trace());
const coldTranslator = translator(emptied);
const cold = (q: Request) => {
  emptied.everything();
  return ask(coldTranslator, q);
};

describe('translations through the caches', () => {
  it('are those of a cold walk while software changes nothing', { timeout: 60_000 }, () => {
    let hits = 0;
    fc.assert(
      fc.property(image, pasids, fc.array(request, { minLength: 4, maxLength: 14 }), (pages, entries, requests) => {
        lay(pages, entries);
        // Two PASID entries of one domain id and PASID would be a mistake of software; one PASID has one entry here.
        const t = translator(new VtdCaches(new Trace()));
        for (const q of requests) {
          const got = ask(t, q);
          if (t.answeredBy === 1) hits++;
          expect(got).toEqual(cold(q));
        }
      }),
      { numRuns: 2000 },
    );
    expect(hits).toBeGreaterThan(500);
  });

  it('differ from it only when the audit has found the entry that is to blame', { timeout: 60_000 }, () => {
    let stale = 0;
    const step = fc.oneof({ weight: 3, arbitrary: request }, { weight: 1, arbitrary: change });
    fc.assert(
      fc.property(image, pasids, fc.array(step, { minLength: 6, maxLength: 24 }), (pages, entries, steps) => {
        lay(pages, entries);
        const caches = new VtdCaches(new Trace());
        const t = translator(caches);
        const audit = new Audit(memory, state, features, devices, caches);
        const blamed = (): boolean => {
          let found = false;
          for (const c of caches.translation())
            c.forEach((i) => {
              found ||= audit.verdict(c, i).state === 'differs';
            });
          for (const e of caches.context.values()) found ||= !audit.sameConfig('Context', e);
          for (const of of caches.pasid.values()) for (const e of of.values()) found ||= !audit.sameConfig('PASID', e);
          return found;
        };
        for (const s of steps) {
          if (Array.isArray(s)) {
            const [what, n, k, value] = s;
            if (what === 'entry') memory.writeWord(Number(pageOf(n)) + k * 8, value as bigint);
            else put(PASIDS + 64 * n, encode(pasidLayout, value as never));
            continue;
          }
          const before = blamed();
          const got = ask(t, s as Request);
          const should = cold(s as Request);
          const same =
            got.status === should.status &&
            got.event === should.event &&
            got.out === should.out &&
            (got.granted & ~should.granted) === 0;
          if (!same) {
            stale++;
            expect(before).toBe(true);
          }
        }
      }),
      { numRuns: 1500 },
    );
    expect(stale).toBeGreaterThan(60);
  });

  it('the audit calls an IOTLB entry stale only where some access sees it', { timeout: 60_000 }, () => {
    let alarms = 0;
    fc.assert(
      fc.property(
        image,
        pasids,
        fc.array(request, { minLength: 4, maxLength: 8 }),
        change,
        (pages, entries, requests, c) => {
          lay(pages, entries);
          const caches = new VtdCaches(new Trace());
          const t = translator(caches);
          const audit = new Audit(memory, state, features, devices, caches);
          for (const q of requests) ask(t, q);
          const [what, n, k, value] = c;
          if (what === 'entry') memory.writeWord(Number(pageOf(n)) + k * 8, value as bigint);
          else put(PASIDS + 64 * n, encode(pasidLayout, value as never));
          // What the next request would use: configuration from memory, the IOTLB as it is.
          caches.contextGlobal();
          caches.pasidGlobal();
          const { iotlb } = caches;
          const suspects: { pasid: number; at: number; size: number }[] = [];
          iotlb.forEach((i) => {
            const v = audit.verdict(iotlb, i);
            const size = 2 ** iotlb.e[i + SHIFT]!;
            // A clean page is seen in memory, not by the access; the pieces of 1 GiB are too many to try.
            if (
              v.state !== 'differs' ||
              v.now === 'a clean page' ||
              v.now.includes('snooping') ||
              updates.test(v.now) ||
              size > 2 ** 21
            )
              return;
            const at = (iotlb.e[i + IN_HI]! >>> 0) * 2 ** 32 + (iotlb.e[i + IN_LO]! >>> 0);
            suspects.push({ pasid: iotlb.e[i + B]!, at, size });
          });
          const saved = caches.save();
          for (const { pasid, at, size } of suspects) {
            alarms++;
            let seen = false;
            for (let address = at; address < at + size && !seen; address += 4096)
              for (const rid of RIDS)
                for (const need of [READ, WRITE, READ | WRITE])
                  for (const priv of [false, true]) {
                    const q: Request = { rid, pasid: pasid === 0 && !priv ? -1 : pasid, address, need, priv };
                    // An access that the entry refuses renews it.
                    caches.load(saved);
                    const got = ask(t, q);
                    const should = cold(q);
                    seen ||= got.status !== should.status || got.event !== should.event || got.out !== should.out;
                  }
            expect(seen).toBe(true);
          }
        },
      ),
      { numRuns: 3000 },
    );
    expect(alarms).toBeGreaterThan(100);
  });

  it('are right again after all is invalidated', { timeout: 60_000 }, () => {
    const step = fc.oneof({ weight: 2, arbitrary: request }, { weight: 1, arbitrary: change });
    fc.assert(
      fc.property(
        image,
        pasids,
        fc.array(step, { minLength: 4, maxLength: 14 }),
        request,
        (pages, entries, steps, last) => {
          lay(pages, entries);
          const caches = new VtdCaches(new Trace());
          const t = translator(caches);
          for (const s of steps)
            if (Array.isArray(s)) memory.writeWord(Number(pageOf(s[1])), typeof s[3] === 'bigint' ? s[3] : 0n);
            else ask(t, s as Request);
          caches.everything();
          expect(caches.translation().map((c) => c.size)).toEqual([0, 0, 0]);
          expect(ask(t, last)).toEqual(cold(last));
        },
      ),
      { numRuns: 1000 },
    );
  });
});
