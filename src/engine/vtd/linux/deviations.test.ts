import { describe, expect, it } from 'vitest';
import { encode } from '../../bits/index.ts';
import { prqLayout } from '../layout/index.ts';
import { A, B, type Bench, bench, GUEST, HOST } from './bench.ts';
import { deviceTlbAll, pasidCache, piotlbPages } from './descriptors.ts';
import { shownNames } from './deviations-shown.ts';
import {
  attachDevice,
  attachPasid,
  BLOCKED,
  type Domain,
  detachPasid,
  domainOf,
  enforceCoherency,
  finalizeDevice,
  flushAll,
  flushRangeNp,
  flushUnmapped,
  handlePageRequests,
  linuxDeviationNames,
  linuxDeviations,
  linuxRules,
  linuxRulesWith,
  pageResponse,
  probeDevice,
  releaseDevice,
  resetDone,
  resetPrepare,
  setDirtyTracking,
  submit,
} from './index.ts';

const FOUR = { cap: HOST.cap | (1n << 10n), ecap: HOST.ecap };
const CACHING = { cap: FOUR.cap | (1n << 7n), ecap: FOUR.ecap };
const LATE = { name: '0000:70:00.0', rid: 0x7000, priCapable: true };

/** What is stored, sent and tagged, in order. */
function watched(b: Bench, out: string[]): void {
  b.trace.listener = (e) => {
    if (e.kind === 'table.write') out.push(`${e.text} ${e.words.map((w) => w.toString(16)).join(' ')}`);
    else if (e.kind === 'command.post') out.push(e.command.text);
    else if (e.kind === 'note') out.push(e.text);
  };
}

/** A life with everything in it: attach, map, unmap, page requests, dirty tracking, reset, removal, errors. */
function story(deviation: string | null, actor: 'driver' | 'guest', words: { cap: bigint; ecap: bigint }): string {
  const out: string[] = [];
  const boot: string[] = [];
  const b = bench({
    actor,
    words,
    devices: [{ ...A, priCapable: true }, { ...B, present: false }, LATE],
    initial: { kind: 'fs', root: 0x5000n },
    deviations: deviation ? [deviation] : [],
    onLine: (l) => boot.push(l),
  });
  out.push(...boot.splice(0));
  watched(b, out);
  const note = (x: unknown): void => void out.push(JSON.stringify(x, (_, v) => (typeof v === 'bigint' ? `${v}` : v)));
  const [a, d] = [b.device(A.name), b.device(B.name)];
  const host = actor === 'driver';
  const fs = b.domain({ kind: 'fs', root: 0x104567000n, faults: true });
  const other = b.domain({ kind: 'fs', root: 0x204567000n });
  const parent = b.domain({ kind: 'ss', root: 0x300000n, levels: 4, nestParent: true, syncMap: true, dirtyOps: host });
  const nested = b.domain({ kind: 'nested', parent: parent.handle, root: 0x700000n });
  const late = b.domain({ kind: 'nested', parent: parent.handle, root: 0x800000n });
  const sva = b.domain({ kind: 'sva', root: 0x900000n, faults: true });
  const touch = (x: Domain): void => {
    b.run(flushUnmapped(b.k, x, 0x3000n, 0x6fffn, false));
    b.run(flushUnmapped(b.k, x, 0x200000n, 0x3fffffn, true));
    b.run(flushRangeNp(b.k, x, 0x3000n, 0x3fffn));
    b.run(flushAll(b.k, x));
  };
  touch(domainOf(b.k, a.domain));
  note(b.run(attachDevice(b.k, a, host ? parent : fs)));
  note(b.run(attachPasid(b.k, a, 9, host ? nested : sva)));
  touch(host ? parent : fs);
  touch(host ? nested : sva);
  if (host) {
    note(b.run(setDirtyTracking(b.k, parent, true)));
    note(b.run(attachPasid(b.k, a, 10, late)));
    touch(parent);
  }
  note(b.run(attachPasid(b.k, a, 9, fs)));
  // Only entries of RIDs are changed by it.
  b.run(attachDevice(b.k, b.device(LATE.name), fs));
  note(b.run(enforceCoherency(b.k, fs)));
  b.run(attachDevice(b.k, b.device(LATE.name), domainOf(b.k, BLOCKED)));
  // Page requests: one that user space keeps, one that it refuses, a bad one.
  const answers = ['0', 'EINVAL'] as const;
  let n = 0;
  b.k.hooks = {
    // biome-ignore lint/correctness/useYield: a hook may pause
    *reportFault() {
      return answers[n++ % 2]!;
    },
  };
  const { prq } = b.k.state.units[0]!;
  const requests = [5, 6, 7].map((PRGI) => ({
    ...{ Type: 1, PP: 1, RID: a.sid, PASID: 9, RD: 1, LPIG: 1, PRGI, PRIV: PRGI === 7, ADDR: 0x1000n },
  }));
  for (const [i, r] of requests.entries())
    for (const [j, w] of encode(prqLayout, r).entries()) b.memory.writeWord(prq + i * 32 + j * 8, w);
  b.unit.registers.set('PQT_REG', 96n);
  b.run(handlePageRequests(b.k, 0));
  b.run(attachDevice(b.k, a, domainOf(b.k, BLOCKED)));
  note(b.run(attachDevice(b.k, a, other)));
  note(b.run(resetPrepare(b.k, a)));
  touch(other);
  b.run(resetDone(b.k, a));
  b.run(detachPasid(b.k, a, 9));
  if (host) b.run(detachPasid(b.k, a, 10));
  b.run(attachDevice(b.k, d, domainOf(b.k, BLOCKED)));
  note(b.run(attachDevice(b.k, a, other)));
  b.run(attachDevice(b.k, b.device(LATE.name), other));
  b.run(releaseDevice(b.k, A.name));
  touch(other);
  b.run(probeDevice(b.k, A.name));
  b.run(finalizeDevice(b.k, A.name));
  note(errors(b));
  return out.join('\n');
}

/** A device of legacy mode with ATS gets a table and loses it. */
function legacyStory(deviation: string | null): string {
  const words = { cap: GUEST.cap, ecap: (HOST.ecap & ~(1n << 43n)) | 4n };
  const b = bench({ words, devices: [A], initial: null, deviations: deviation ? [deviation] : [] });
  const out: string[] = [];
  watched(b, out);
  const a = b.device(A.name);
  const errno = b.run(attachDevice(b.k, a, b.domain({ kind: 'ss', root: 0x1000n, syncMap: true })));
  b.run(attachDevice(b.k, a, domainOf(b.k, BLOCKED)));
  return [errno, ...out].join('\n');
}

/** A refused descriptor, and a device that does not answer a batch. */
function errors(b: Bench): unknown {
  const bad = piotlbPages(2, 0, { address: 0n, mask: 19 }, false);
  b.unit.refuse = (w) => (w[0] === bad[0] && w[1] === bad[1] ? 0x10 : 0);
  const u = b.k.units[0]!;
  const refused = b.run(submit(b.k, u, [bad]));
  b.unit.registers.set('FSTS_REG', 0n);
  b.unit.refuse = () => 0;
  b.run(b.unit.writeRegister('IQT_REG', b.unit.readRegister('IQT_REG')));
  if (b.k.state.units[0]!.queue!.freeHead % 2) b.run(submit(b.k, u, [pasidCache(2, 0), pasidCache(2, 0)]));
  const original = b.unit.writeRegister.bind(b.unit);
  let once = true;
  b.unit.writeRegister = function* (name, value) {
    if (name !== 'IQT_REG' || !once) return yield* original(name, value);
    once = false;
    for (const r of ['IQT_REG', 'IQH_REG']) b.unit.registers.set(r, value);
    b.unit.registers.set('FSTS_REG', 0x40n);
  };
  const all = deviceTlbAll({ sid: 0x7000, pfsid: 0, atsQdep: 32 });
  return [refused, b.run(submit(b.k, u, [pasidCache(2, 0), all]))];
}

describe('every deviation', () => {
  const settings = [
    ['host', 'driver', FOUR],
    ['host with caching mode', 'driver', CACHING],
    ['guest', 'guest', GUEST],
    ['guest without ESRTPS', 'guest', { cap: GUEST.cap & ~(1n << 63n), ecap: GUEST.ecap | (1n << 7n) }],
  ] as const;
  const plain = new Map(settings.map(([name, actor, words]) => [name, story(null, actor, words)]));

  it('the same story twice is the same', () => {
    for (const [name, actor, words] of settings) expect(story(null, actor, words)).toBe(plain.get(name));
  });

  for (const of of ['host', 'guest'] as const) {
    const rest = settings.filter(([, actor]) => (actor === 'driver') === (of === 'host'));
    it.each(linuxDeviations(of).map((d) => [d.name, d.about]))('%s changes what is sent or stored', (name, about) => {
      expect(name).toMatch(new RegExp(`^${of}\\.[a-z0-9-]+$`));
      expect(about.length).toBeGreaterThan(40);
      const differs =
        rest.some(([setting, actor, words]) => story(name, actor, words) !== plain.get(setting)) ||
        (of === 'host' && legacyStory(name) !== legacyStory(null));
      expect(differs).toBe(true);
    });
  }
});

describe('rules', () => {
  it('every rule that sends or orders something has a deviation', () => {
    const broken = new Set(linuxDeviations('host').map((d) => d.rule));
    expect(Object.keys(linuxRules).filter((r) => !broken.has(r as keyof typeof linuxRules))).toEqual([]);
  });

  it('a host’s names do not touch a guest, unknown names are left to others', () => {
    expect(linuxRulesWith('guest', ['host.no-drain', 'guest.something-of-its-own'])).toEqual(linuxRules);
    expect(linuxRulesWith('driver', ['host.no-drain']).drains()).toBe(false);
    const names = [...linuxDeviationNames('host'), ...linuxDeviationNames('guest')];
    expect(new Set(names).size).toBe(names.length);
    expect(linuxDeviationNames('guest')).not.toContain('guest.unmap-own-did-only');
  });
});

describe('VTD-08: the range 0x3000 to 0x6fff', () => {
  it.each([
    [[], '0x36 0x2003', '0x3'],
    [['guest.range-by-length'], '0x36 0x2002', '0x2'],
  ])('%s', (deviations, _text, mask) => {
    const b = bench({ actor: 'guest', devices: [{ ...A, atsCapable: false }], deviations });
    const domain = b.domain({ kind: 'fs', root: 0x1000n });
    b.run(attachDevice(b.k, b.device(A.name), domain));
    b.unit.clear();
    b.run(flushUnmapped(b.k, domain, 0x3000n, 0x6fffn, true));
    expect(`0x${(b.unit.submissions[0]![0]![1]! & 0x3fn).toString(16)}`).toBe(mask);
    expect(b.unit.submissions[0]![0]![1]! & ~0xfffn).toBe(0n);
  });
});

describe('VTD-07: everything of PASID 5', () => {
  it.each([
    [[], '0x000000053b000008 0x7ffffffffffff800'],
    [['host.whole-dev-tlb-without-pasid'], '0x00003b0000000003 0x7ffffffffffff001'],
  ])('%s', (deviations, expected) => {
    const b = bench({ deviations });
    const domain = b.domain({ kind: 'fs', root: 0x1000n });
    b.run(attachPasid(b.k, b.device(A.name), 5, domain));
    b.unit.clear();
    b.run(flushAll(b.k, domain));
    expect(b.unit.sent()[0]![1]).toBe(expected);
  });
});

describe('VTD-13: a replace in place', () => {
  it('the entry is never absent, and at some store it mixes both', () => {
    const b = bench({ deviations: ['host.replace-in-place'], devices: [A] });
    const a = b.device(A.name);
    b.run(attachPasid(b.k, a, 5, b.domain({ kind: 'fs', root: 0x1000n })));
    const seen: string[] = [];
    b.trace.listener = (e) => {
      if (e.kind === 'table.write' && e.layout === 'vtd.pasid') seen.push(e.words.slice(0, 3).map(String).join(' '));
    };
    b.run(attachPasid(b.k, a, 5, b.domain({ kind: 'fs', root: 0x2000n })));
    const [p, root] = [0x4dn, 0x2000n];
    expect(seen.length).toBe(2);
    expect(seen.every((w) => BigInt(w.split(' ')[0]!) === p)).toBe(true);
    expect(seen.map((w) => BigInt(w.split(' ')[2]!) === root)).toEqual([false, true]);
  });
});

it('pageResponse of nothing that waits is dropped', () => {
  const b = bench();
  const request = { pasid: 1, group: 1, perm: 1, address: 0n, last: true };
  b.run(pageResponse(b.k, b.device(A.name), request, 'success'));
  expect(b.unit.sent()).toEqual([]);
  expect(b.k.state.log.at(-1)).toContain('no pending PRQ, drop response');
});

it('what is said about where an effect shows is said of a deviation that there is', () => {
  for (const of of ['host', 'guest'] as const)
    for (const name of shownNames(of)) expect(linuxDeviationNames(of)).toContain(`${of}.${name}`);
  const about = (name: string): string =>
    [...linuxDeviations('host'), ...linuxDeviations('guest')].find((d) => d.name === name)!.about;
  expect(about('guest.no-dev-tlb-inv')).toMatch(/only its own queue shows it/);
  expect(about('host.no-dev-tlb-inv')).not.toMatch(/shows/);
});
