import { describe, expect, it } from 'vitest';
import type { EntryData } from '../../cache/index.ts';
import { NO_PASID } from '../../pci/index.ts';
import { descriptorTypes, encodeDescriptor } from '../layout/index.ts';
import { decodeContext, decodeLegacyContext, decodePasidEntry } from './config.ts';
import { TYPE } from './descriptors.ts';
import { IQEI } from './registers.ts';
import { DATA, execute, RID_A, RID_B, TestUnit } from './test-unit.ts';

/** One cached entry, as the table of removals sees it. */
interface Entry {
  readonly cache: 'Context' | 'PASID' | 'IOTLB' | 'FS walk' | 'SS walk' | 'ATC';
  readonly rid: number;
  readonly did: number;
  /** -1 in an ATC: without PASID. */
  readonly pasid: number;
  readonly pgtt: number;
  readonly address: number;
  readonly shift: number;
  /** Context entries only. */
  readonly scalable: boolean;
}

const none = { rid: 0, did: 0, pasid: 0, pgtt: 0, address: 0, shift: 12, scalable: true };
const PAGE = 0x4000_0000;
/** A page in the range of the descriptors, one behind it, a large page that reaches into it, one far away. */
const pages = [
  [PAGE + 0x1000, 12],
  [PAGE + 0x10000, 12],
  [PAGE, 21],
  [0x7000_0000, 12],
] as const;

/** The same of what one table translates. */
const tables = [
  [PAGE, 21],
  [PAGE + 0x20_0000, 21],
  [PAGE, 30],
  [0x7000_0000, 21],
] as const;

const entries: Entry[] = [];
for (const rid of [RID_A, RID_A + 1, RID_A + 7, RID_B])
  entries.push(
    { ...none, cache: 'Context', rid },
    { ...none, cache: 'Context', rid: rid + 0x100, did: rid & 7, scalable: false },
  );
for (const did of [5, 6]) {
  for (const pasid of [0, 0x1234]) {
    for (const rid of [RID_A, RID_B]) entries.push({ ...none, cache: 'PASID', rid: rid + did, did, pasid });
    for (const [address, shift] of pages) {
      // One place of a PASID holds one kind.
      for (const pgtt of [1, 2, 3, 4])
        entries.push({ ...none, cache: 'IOTLB', did: did + 10 * pgtt, pasid, pgtt, address, shift });
    }
    for (const [address, shift] of tables)
      for (const cache of ['FS walk', 'SS walk'] as const) entries.push({ ...none, cache, did, pasid, address, shift });
  }
}
for (const rid of [RID_A, RID_B])
  for (const pasid of [-1, 0x1234, 7])
    for (const [address, shift] of pages) entries.push({ ...none, cache: 'ATC', rid, pasid, address, shift });

const nameOf = (e: Entry): string =>
  [e.cache, e.rid.toString(16), e.did, e.pasid.toString(16), e.pgtt, e.address.toString(16), e.shift, e.scalable].join(
    ' ',
  );

/** A unit whose caches hold all entries. */
function filled(): TestUnit {
  const t = new TestUnit();
  const { caches, features } = t.unit;
  const data: EntryData = { attr: 0x1ff, level: 1, granule: 0, sid: 0, ssid: 0, ipaHi: 0, ipaLo: 0 };
  for (const e of entries) {
    const { did, pasid, rid, address, shift } = e;
    switch (e.cache) {
      case 'Context':
        caches.addContext(
          e.scalable
            ? decodeContext(new Uint32Array(8), rid, 1, 0, features)
            : decodeLegacyContext(new Uint32Array([1, 0, (did << 8) | 2, 0]), rid, 1, 0, features),
        );
        break;
      case 'PASID': {
        const words = new Uint32Array(16);
        // Present, pass-through: an entry that cannot be used would go with any domain.
        words[0] = 0x109;
        words[2] = did;
        const key = { rid, pasid, uid: 1, address: 0, directory: 0n, directoryAddress: 0 };
        caches.addPasid(decodePasidEntry(words, key, features));
        break;
      }
      case 'IOTLB':
        caches.begin(did, pasid, RID_A, e.pgtt);
        caches.fillLeaf(0, address, shift, 0, DATA | 0, 0, address, 0x1ff, 1);
        break;
      case 'ATC':
        (rid === RID_A ? t.a : t.b).atc.insert(0, pasid < 0 ? NO_PASID : pasid, 0, address, shift, shift, 0, 0, data);
        break;
      default:
        (e.cache === 'FS walk' ? caches.fswalk : caches.sswalk).insert(
          did,
          pasid,
          0,
          address,
          shift,
          shift,
          0,
          0,
          data,
        );
    }
  }
  return t;
}

/** What is left, by the names of the entries. */
function left(t: TestUnit): Set<string> {
  const { caches } = t.unit;
  const out = new Set<string>();
  for (const e of caches.context.values())
    out.add(nameOf({ ...none, cache: 'Context', rid: e.rid, did: e.did, scalable: e.scalable }));
  for (const of of caches.pasid.values())
    for (const e of of.values()) out.add(nameOf({ ...none, cache: 'PASID', rid: e.rid, did: e.did, pasid: e.pasid }));
  for (const c of caches.translation())
    c.forEach((i) => {
      const [did, pasid, address, , shift] = [...c.e.subarray(i, i + 5)] as [number, number, number, number, number];
      const cache = c.name as Entry['cache'];
      out.add(nameOf({ ...none, cache, did, pasid, address, shift, pgtt: cache === 'IOTLB' ? c.e[i + 18]! >> 16 : 0 }));
    });
  for (const d of [t.a, t.b])
    d.atc.forEach((i) => {
      const [, tag, address, , shift] = [...d.atc.e.subarray(i, i + 5)] as [number, number, number, number, number];
      out.add(nameOf({ ...none, cache: 'ATC', rid: d.rid, pasid: tag === NO_PASID ? -1 : tag, address, shift }));
    });
  return out;
}

const inRange = (e: Entry, from: number, bytes: number): boolean =>
  e.address < from + bytes && e.address + 2 ** e.shift > from;
const firstKind = (e: Entry): boolean => e.cache === 'IOTLB' && (e.pgtt === 1 || e.pgtt === 3);
const secondKind = (e: Entry): boolean => e.cache === 'IOTLB' && (e.pgtt === 2 || e.pgtt === 4);
const isTranslation = (e: Entry): boolean => ['IOTLB', 'FS walk', 'SS walk'].includes(e.cache);
/** Pages 0x40000000 to 0x4000ffff. */
const RANGE = [PAGE, 0x10000] as const;

/** Title, descriptor, and which entries the table of the specification has it remove. */
const table: readonly (readonly [string, bigint[], (e: Entry) => boolean])[] = [
  ['CC_INV global', encodeDescriptor('CC_INV', { G: 1 }), (e) => e.cache === 'Context'],
  [
    'CC_INV of a domain',
    encodeDescriptor('CC_INV', { G: 2, DID: 1 }),
    (e) => e.cache === 'Context' && (e.scalable || e.did === 1),
  ],
  [
    'CC_INV of a device',
    encodeDescriptor('CC_INV', { G: 3, SID: RID_A }),
    (e) => e.cache === 'Context' && e.rid === RID_A,
  ],
  [
    'CC_INV of a device, FM 1 ignores function bit 2',
    encodeDescriptor('CC_INV', { G: 3, SID: RID_A + 3, FM: 1 }),
    (e) => e.cache === 'Context' && e.rid === RID_A + 7,
  ],
  [
    'CC_INV of a device, FM 3 ignores the function',
    encodeDescriptor('CC_INV', { G: 3, SID: RID_A + 2, FM: 3 }),
    (e) => e.cache === 'Context' && [RID_A, RID_A + 1, RID_A + 7].includes(e.rid),
  ],
  ['PC_INV global', encodeDescriptor('PC_INV', { G: 3 }), (e) => e.cache === 'PASID'],
  ['PC_INV of a domain', encodeDescriptor('PC_INV', { G: 0, DID: 5 }), (e) => e.cache === 'PASID' && e.did === 5],
  [
    'PC_INV of a PASID',
    encodeDescriptor('PC_INV', { G: 1, DID: 5, PASID: 0x1234 }),
    (e) => e.cache === 'PASID' && e.did === 5 && e.pasid === 0x1234,
  ],
  ['IOTLB_INV global', encodeDescriptor('IOTLB_INV', { G: 1, DW: 1, DR: 1 }), isTranslation],
  ...[5, 15, 25, 35, 45].map(
    (did) =>
      [
        `IOTLB_INV of domain ${did}`,
        encodeDescriptor('IOTLB_INV', { G: 2, DID: did }),
        (e: Entry) => isTranslation(e) && e.did === did,
      ] as const,
  ),
  ...[5, 15, 25, 35, 45].flatMap((did) =>
    [0, 1].map(
      (ih) =>
        [
          `IOTLB_INV of pages of domain ${did}, IH ${ih}`,
          encodeDescriptor('IOTLB_INV', { G: 3, DID: did, ADDR: BigInt(PAGE + 0x3000), AM: 4, IH: ih }),
          (e: Entry) =>
            isTranslation(e) &&
            e.did === did &&
            (firstKind(e) || e.cache === 'FS walk' || ((secondKind(e) || ih === 0) && inRange(e, ...RANGE))),
        ] as const,
    ),
  ),
  ...[5, 15, 25, 35, 45].map(
    (did) =>
      [
        `P_IOTLB_INV of a PASID of domain ${did}`,
        encodeDescriptor('P_IOTLB_INV', { G: 2, DID: did, PASID: 0x1234 }),
        (e: Entry) => isTranslation(e) && e.cache !== 'SS walk' && e.did === did && e.pasid === 0x1234,
      ] as const,
  ),
  ...[5, 15, 25, 35, 45].flatMap((did) =>
    [0, 1].map(
      (ih) =>
        [
          `P_IOTLB_INV of pages of domain ${did}, IH ${ih}`,
          encodeDescriptor('P_IOTLB_INV', {
            G: 3,
            DID: did,
            PASID: 0x1234,
            ADDR: BigInt(PAGE + 0x3000),
            AM: 4,
            IH: ih,
          }),
          (e: Entry) =>
            (firstKind(e) || (ih === 0 && e.cache === 'FS walk')) &&
            e.did === did &&
            e.pasid === 0x1234 &&
            inRange(e, ...RANGE),
        ] as const,
    ),
  ),
  [
    'P_IOTLB_INV of everything there is, AM 63',
    encodeDescriptor('P_IOTLB_INV', { G: 3, DID: 15, PASID: 0, ADDR: 0x7fff_ffff_f000n, AM: 63 }),
    (e) => firstKind(e) && e.did === 15 && e.pasid === 0,
  ],
  [
    'DEV_TLB_INV of a page',
    encodeDescriptor('DEV_TLB_INV', { SID: RID_A, ADDR: BigInt(PAGE + 0x1000) }),
    (e) => e.cache === 'ATC' && e.rid === RID_A && e.pasid < 0 && inRange(e, PAGE + 0x1000, 4096),
  ],
  [
    'DEV_TLB_INV of a range: bits 14:12 ones, bit 15 zero are 64 KiB',
    encodeDescriptor('DEV_TLB_INV', { SID: RID_A, S: 1, ADDR: BigInt(PAGE + 0x7000) }),
    (e) => e.cache === 'ATC' && e.rid === RID_A && e.pasid < 0 && inRange(e, ...RANGE),
  ],
  [
    'DEV_TLB_INV of everything',
    [0x00003b0000000003n, 0x7ffffffffffff001n, 0n, 0n],
    (e) => e.cache === 'ATC' && e.rid === RID_A && e.pasid < 0,
  ],
  [
    'DEV_TLB_INV of everything, all bits one',
    [0x00003b0000000003n, 0xfffffffffffff001n, 0n, 0n],
    (e) => e.cache === 'ATC' && e.rid === RID_A && e.pasid < 0,
  ],
  [
    'P_DEV_TLB_INV of a range',
    encodeDescriptor('P_DEV_TLB_INV', { SID: RID_B, PASID: 0x1234, S: 1, ADDR: BigInt(PAGE + 0x7000) }),
    (e) => e.cache === 'ATC' && e.rid === RID_B && e.pasid === 0x1234 && inRange(e, ...RANGE),
  ],
  [
    'P_DEV_TLB_INV of everything',
    [0x000012345e100008n, 0x7ffffffffffff800n, 0n, 0n],
    (e) => e.cache === 'ATC' && e.rid === RID_B && e.pasid === 0x1234,
  ],
  [
    'P_DEV_TLB_INV in every PASID',
    encodeDescriptor('P_DEV_TLB_INV', { SID: RID_A, G: 1, ADDR: BigInt(PAGE + 0x1000) }),
    (e) => e.cache === 'ATC' && e.rid === RID_A && inRange(e, PAGE + 0x1000, 4096),
  ],
  ['IEC_INV', encodeDescriptor('IEC_INV', {}), () => false],
  ['INV_WAIT', encodeDescriptor('INV_WAIT', { FN: 1 }), () => false],
  ['PAGE_GRP_RESP', encodeDescriptor('PAGE_GRP_RESP', { RID: RID_A, PRGI: 3 }), () => false],
];

describe('2.5: what each descriptor removes', () => {
  it('every entry is there at first', () => {
    expect(left(filled())).toEqual(new Set(entries.map(nameOf)));
    expect(new Set(entries.map(nameOf)).size).toBe(entries.length);
  });

  it.each(table)('%s', (_, words, removed) => {
    const t = filled();
    expect(execute(t, words)).toBe(IQEI.NONE);
    const stays = entries.filter((e) => !removed(e)).map(nameOf);
    expect([...left(t)].sort()).toEqual(stays.sort());
  });

  it('10.5: a page-selective IOTLB_INV on a nested child takes all its nested entries', () => {
    const t = filled();
    execute(t, encodeDescriptor('IOTLB_INV', { G: 3, DID: 35, ADDR: 0x9999_9000n, AM: 0 }));
    expect([...left(t)].filter((n) => n.startsWith('IOTLB 0 35 '))).toEqual([]);
  });

  it('10.3: the parent’s own domain id does not reach children', () => {
    for (const g of [2, 3]) {
      const t = filled();
      execute(t, encodeDescriptor('IOTLB_INV', { G: g, DID: 25 }));
      expect([...left(t)].filter((n) => n.startsWith('IOTLB 0 35 '))).toHaveLength(8);
    }
  });

  it('has the numbers of the layouts', () => {
    expect(TYPE).toEqual(descriptorTypes);
  });
});
