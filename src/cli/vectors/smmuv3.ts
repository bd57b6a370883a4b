import { bytesToWords, wordsToBytes } from '../../engine/bits/index.ts';
import type { DriverUpcalls } from '../../engine/iommufd/index.ts';
import { Injector, runToEnd } from '../../engine/machine/index.ts';
import { Memory, PageAllocator } from '../../engine/memory/index.ts';
import { PciDevice } from '../../engine/pci/index.ts';
import { decodeFeatures, physicalFeatures, Smmu } from '../../engine/smmuv3/hardware/index.ts';
import { hostRulesWith } from '../../engine/smmuv3/host/deviations.ts';
import {
  type InvalidationEntry,
  invalidationTypes,
  mergeInvalidations,
  purgeInvalidations,
  unrefInvalidations,
} from '../../engine/smmuv3/host/invalidation-array.ts';
import { allocNested, invalidateCommands } from '../../engine/smmuv3/host/nested.ts';
import { probeDevices, probeSmmu } from '../../engine/smmuv3/host/probe.ts';
import { createHost, type Host, newMaster } from '../../engine/smmuv3/host/state.ts';
import { writeCd, writeSte } from '../../engine/smmuv3/host/tables.ts';
import { Trace } from '../../engine/trace/index.ts';
import {
  big,
  bytes,
  type Check,
  flag,
  hexBytes,
  hexWords,
  list,
  Malformed,
  number,
  onlyKeys,
  record,
  same,
  text,
  words,
} from './value.ts';

/** Checks of `smmu-kunit` and `rewrite-arm`: the host driver itself runs, on an SMMU, and its commands are watched. */

interface Bench {
  readonly host: Host;
  /** Commands posted and not yet taken, in order. */
  readonly posted: bigint[][];
}

/** A probed host driver with one device for each StreamID, which may have 32 bits. */
function bench(sids: readonly number[], onSync: () => void = () => {}): Bench {
  const memory = new Memory(2 ** 40);
  const trace = new Trace();
  const injector = new Injector(trace);
  const devices = sids.map(
    (rid) => new PciDevice({ name: `sid 0x${rid.toString(16)}`, rid, vrid: 0, pasidBits: 0, ats: true, pri: false }),
  );
  const { idr } = physicalFeatures({});
  const sidBits = sids.some((sid) => sid > 0xffff) ? 32 : 16;
  const features = decodeFeatures(idr.map((w, i) => (i === 1 ? ((w & ~0x3f) | sidBits) >>> 0 : w)));
  const smmu = new Smmu(memory, features, devices, trace, injector);
  const pages = new PageAllocator(2 ** 32, 2 ** 33);
  // These vectors state what v6.19 made of a vSTE: ATS only under one that translates with EATS = 1.
  const rules = hostRulesWith(['host.v6.19-ats']);
  const host = createHost({ smmu, memory, pages, devices, trace, injector, rules });
  if (!runToEnd(probeSmmu(host))) throw new Error(`probe: ${host.state.error}`);
  runToEnd(probeDevices(host));
  // A StreamID beyond what the kernel's stream table can hold has no STE, but commands can name it.
  for (const d of devices)
    if (!host.state.masters.some((m) => m.sid === d.rid))
      host.state.masters.push(newMaster({ name: d.name, sid: d.rid, ssidBits: 0, steAddress: 0, stallEnabled: false }));
  const posted: bigint[][] = [];
  trace.listener = (e) => {
    if (e.kind !== 'command.post') return;
    if (e.command.name === 'SYNC') onSync();
    posted.push([...e.command.words]);
  };
  return { host, posted };
}

/** The vSIDs of a vector as the vIOMMU's vDEVICEs. */
function upcalls(vsids: ReadonlyMap<number, number>): DriverUpcalls {
  return {
    findDevice: (_viommu, virtId) => {
      const sid = vsids.get(Number(virtId));
      return sid === undefined ? null : `sid 0x${sid.toString(16)}`;
    },
    virtualId: () => null,
    reportFault: () => 'EINVAL',
    reportEvent: () => 'EOPNOTSUPP',
    viommuSceneId: () => 'kernel.driver',
    domainSceneId: () => 'kernel.driver',
  };
}

const SID = 0x108;
const SYNC = 0x46n;

/** A stream table entry or context descriptor is changed by the driver; syncs are counted, word 0 is looked at in each. */
function entryChange(kind: 'ste' | 'cd'): Check {
  return (v) => {
    onlyKeys(v, ['name', 'origin', 'kind', 'from', 'to', 'expectSyncs', 'hitless'], 'vector');
    const from = words(v['from'], 8, 'from');
    const to = words(v['to'], 8, 'to');
    const expectSyncs = number(v['expectSyncs'], 'expectSyncs');
    const hitless = flag(v['hitless'], 'hitless');
    let address = 0;
    let syncs = 0;
    let sawZero = false;
    const { host } = bench([SID], () => {
      syncs++;
      if (host.memory.readWord(address) === 0n) sawZero = true;
    });
    const m = host.state.masters[0]!;
    address = kind === 'ste' ? m.steAddress : host.pages.alloc(4096);
    from.forEach((w, i) => {
      host.memory.writeWord(address + i * 8, w);
    });
    runToEnd(kind === 'ste' ? writeSte(host, m, to) : writeCd(host, m, 0, address, to));
    const end = to.map((_, i) => host.memory.readWord(address + i * 8));
    return (
      same('entry', hexWords(to), hexWords(end)) ??
      same('syncs', String(expectSyncs), String(syncs)) ??
      same('hitless', String(hitless), String(!sawZero))
    );
  };
}

function invalidationEntries(v: unknown, what: string, counted: boolean): InvalidationEntry[] {
  return list(v, what).map((x, i) => {
    const e = record(x, `${what}[${i}]`);
    onlyKeys(e, ['type', 'id', 'ssid', 'users'], `${what}[${i}]`);
    const name = text(e['type'], `${what}[${i}].type`);
    const type = invalidationTypes.find((t) => t === name);
    if (!type) throw new Malformed(`${what}[${i}].type: unknown type ${name}`);
    return {
      type,
      id: number(e['id'], `${what}[${i}].id`),
      ssid: e['ssid'] === undefined ? 0 : number(e['ssid'], `${what}[${i}].ssid`),
      users: counted || e['users'] !== undefined ? number(e['users'], `${what}[${i}].users`) : 0,
    };
  });
}

const entriesText = (entries: readonly InvalidationEntry[]): string =>
  entries.map((e) => `${e.type} ${e.id}${e.ssid ? `/${e.ssid}` : ''} x${e.users}`).join(', ') || 'nothing';

const invalidationArray: Check = (v) => {
  onlyKeys(v, ['name', 'origin', 'kind', 'op', 'base', 'arg', 'expect'], 'vector');
  const base = invalidationEntries(v['base'], 'base', true);
  const expect = record(v['expect'], 'expect');
  onlyKeys(expect, ['invs', 'trashes'], 'expect');
  const wanted = invalidationEntries(expect['invs'], 'expect.invs', true);
  const trashes = number(expect['trashes'], 'expect.trashes');
  const arg = (): InvalidationEntry[] => invalidationEntries(v['arg'], 'arg', false);
  let got: { entries: InvalidationEntry[]; trashes: number };
  switch (v['op']) {
    case 'merge':
      got = { entries: mergeInvalidations(base, arg()), trashes: 0 };
      break;
    case 'unref':
      got = unrefInvalidations(base, arg());
      break;
    case 'purge':
      got = { entries: purgeInvalidations(base), trashes: 0 };
      break;
    default:
      throw new Malformed(`op: unknown operation ${JSON.stringify(v['op'])}`);
  }
  return (
    same('array', entriesText(wanted), entriesText(got.entries)) ??
    same('trashes', String(trashes), String(got.trashes))
  );
};

function vsidMap(v: unknown): Map<number, number> {
  const out = new Map<number, number>();
  for (const [vsid, sid] of Object.entries(record(v, 'vsids')))
    out.set(number(vsid, 'vsids', 0xffffffff), number(sid, `vsids.${vsid}`, 0xffffffff));
  return out;
}

/** '0' or an errno's name, from 0 or a name. */
function errnoOf(v: unknown, what: string): string {
  return v === 0 || v === '0' ? '0' : text(v, what);
}

/** Sends commands through the driver's cache_invalidate; gives what reached the queue, group by group. */
function invalidate(
  vmid: number,
  vsids: ReadonlyMap<number, number>,
  commands: readonly Uint8Array[],
): { errno: string; done: number; issued: string[][] } {
  const { host, posted } = bench([...new Set(vsids.values())]);
  host.upcalls = upcalls(vsids);
  const vsmmu = { key: 1, parent: 0, vmid };
  const entries = commands.map((c) => ({ cmd: bytesToWords(c) }));
  const array = { type: 1, entryLen: 16, entryNum: entries.length, entries };
  const r = runToEnd(invalidateCommands(host, vsmmu, array));
  const issued: string[][] = [];
  let group: string[] = [];
  for (const c of posted) {
    if ((c[0]! & 0xffn) !== SYNC) group.push(hexBytes(wordsToBytes(c)));
    else {
      issued.push(group);
      group = [];
    }
  }
  if (group.length) issued.push([...group, 'without a sync']);
  return { errno: r.errno, done: r.done, issued };
}

const command: Check = (v) => {
  onlyKeys(v, ['name', 'kind', 'vmid', 'vsids', 'in', 'expect'], 'vector');
  const expect = record(v['expect'], 'expect');
  onlyKeys(expect, ['out', 'errno'], 'expect');
  if ((expect['out'] === undefined) === (expect['errno'] === undefined))
    throw new Malformed('expect: expected either out or errno');
  const input = bytes(v['in'], 16, 'in');
  const r = invalidate(number(v['vmid'], 'vmid', 0xffff), vsidMap(v['vsids']), [input]);
  if (expect['errno'] !== undefined) {
    const errno = errnoOf(expect['errno'], 'expect.errno');
    return same('errno', errno, r.errno) ?? (errno === '0' ? null : same('issued', '', r.issued.flat().join(' ')));
  }
  const out = hexBytes(bytes(expect['out'], 16, 'expect.out'));
  return same('errno', '0', r.errno) ?? same('command', out, r.issued.flat().join(' '));
};

const batch: Check = (v) => {
  onlyKeys(v, ['name', 'kind', 'vmid', 'vsids', 'in', 'expect'], 'vector');
  const expect = record(v['expect'], 'expect');
  onlyKeys(expect, ['errno', 'entry_num', 'issued'], 'expect');
  const errno = errnoOf(expect['errno'], 'expect.errno');
  const done = number(expect['entry_num'], 'expect.entry_num');
  const issued = list(expect['issued'], 'expect.issued').map((g, i) =>
    list(g, `expect.issued[${i}]`).map((c, j) => hexBytes(bytes(c, 16, `expect.issued[${i}][${j}]`))),
  );
  const input = list(v['in'], 'in').map((c, i) => bytes(c, 16, `in[${i}]`));
  const r = invalidate(number(v['vmid'], 'vmid', 0xffff), vsidMap(v['vsids']), input);
  const groups = (g: readonly string[][]): string => g.map((x) => x.join(' ')).join(' | ') || 'nothing';
  return (
    same('errno', errno, r.errno) ??
    same('entry_num', String(done), String(r.done)) ??
    same('issued', groups(issued), groups(r.issued))
  );
};

const vste: Check = (v) => {
  onlyKeys(v, ['name', 'kind', 'vste', 'deviceAts', 's2', 'expect'], 'vector');
  const expect = record(v['expect'], 'expect');
  onlyKeys(expect, ['errno', 'ste', 'ats'], 'expect');
  const given = words(v['vste'], 2, 'vste');
  const s2 = words(v['s2'], 8, 's2');
  const deviceAts = flag(v['deviceAts'], 'deviceAts');
  const { host } = bench([SID]);
  const data = { type: 2, len: 16, fields: { ste: given } };
  const made = allocNested(host, { key: 1, parent: 0, vmid: 0 }, 0, data);
  if (expect['errno'] !== undefined) return same('errno', errnoOf(expect['errno'], 'expect.errno'), made.errno);
  const ste = words(expect['ste'], 8, 'expect.ste');
  const ats = flag(expect['ats'], 'expect.ats');
  if (made.errno !== '0') return same('errno', '0', made.errno);
  const nested = host.state.nested.get(made.value)!;
  const isOn = deviceAts && host.rules.vsteWantsAts(nested);
  const physical = host.rules.physicalSte(s2, nested.ste, isOn);
  return same('STE', hexWords(ste), hexWords(physical)) ?? same('ATS', String(ats), String(isOn));
};

const event: Check = (v) => {
  onlyKeys(v, ['name', 'kind', 'vsid', 'evt', 'expect'], 'vector');
  const expect = record(v['expect'], 'expect');
  onlyKeys(expect, ['evt'], 'expect');
  const { host } = bench([]);
  const got = host.rules.guestEvent(words(v['evt'], 4, 'evt'), Number(big(v['vsid'], 'vsid')));
  return same('record', hexWords(words(expect['evt'], 4, 'expect.evt')), hexWords(got));
};

/** Folder of vectors, then kind of vector. */
export const smmuv3Checks: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  'smmu-kunit': { ste: entryChange('ste'), cd: entryChange('cd'), invs: invalidationArray },
  'rewrite-arm': { command, batch, vste, event },
};
