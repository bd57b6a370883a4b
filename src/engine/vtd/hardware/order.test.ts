import { describe, expect, it } from 'vitest';
import { Injector, runToEnd } from '../../machine/index.ts';
import { Memory } from '../../memory/index.ts';
import { PciDevice } from '../../pci/index.ts';
import { Trace } from '../../trace/index.ts';
import { encodeDescriptor } from '../layout/index.ts';
import { physicalFeatures, VtdUnit } from './index.ts';
import { DATA, IOVA, RID_A, TestUnit, wait } from './test-unit.ts';

const DID = 5;
const PASID = 0x1234;
const TO = DATA + 0x10_0000;

const context = encodeDescriptor('CC_INV', { G: 3, SID: RID_A });
const pasidCache = encodeDescriptor('PC_INV', { G: 1, DID, PASID });
const iotlb = encodeDescriptor('P_IOTLB_INV', { G: 2, DID, PASID });
const deviceTlb = encodeDescriptor('P_DEV_TLB_INV', { SID: RID_A, PASID, S: 1, ADDR: 0x7fff_ffff_ffff_f000n });

describe('the order of invalidations, 2.5', () => {
  /** The device has a translation in its TLB, the unit the same in its IOTLB; then the page is moved. */
  const moved = (): TestUnit => {
    const t = new TestUnit();
    const leaf = t.firstStage(DID, PASID, IOVA, DATA);
    expect(t.dma({ pasid: PASID, translated: true })).toMatchObject({ pa: DATA });
    t.write(leaf, BigInt(TO) | 0x67n);
    return t;
  };

  it('rule 8: the IOTLB first, then the device TLB', () => {
    const t = moved();
    t.post(iotlb, deviceTlb, wait());
    expect(t.dma({ pasid: PASID, translated: true })).toMatchObject({ pa: TO });
  });

  it('rule 8: the other way round the device asks again in between, and keeps what is stale', () => {
    const t = moved();
    t.post(deviceTlb, wait());
    expect(t.dma({ pasid: PASID, translated: true })).toMatchObject({ pa: DATA });
    t.post(iotlb, wait());
    expect(t.dma({ pasid: PASID, translated: true })).toMatchObject({ pa: DATA, hit: 'ATC' });
    expect(t.dma({ pasid: PASID })).toMatchObject({ pa: TO });
  });

  it('rule 3: neither context nor PASID cache invalidations reach the IOTLB', () => {
    const t = moved();
    t.post(context, pasidCache, wait());
    expect(t.dma({ pasid: PASID })).toMatchObject({ pa: DATA, hit: 'IOTLB' });
  });

  it('4.3: a cached PASID entry goes on filling the IOTLB under its old domain id', () => {
    const t = moved();
    t.firstStage(DID + 1, PASID, IOVA, TO);
    t.post(iotlb, wait());
    expect(t.dma({ pasid: PASID })).toMatchObject({ pa: TO, hit: 'walk' });
    const dids = (): number[] => {
      const out: number[] = [];
      t.unit.caches.iotlb.forEach((i) => void out.push(t.unit.caches.iotlb.e[i]!));
      return out;
    };
    expect(dids()).toEqual([DID]);
    // The PASID entry that the new id names is not the one that is cached.
    t.post(encodeDescriptor('PC_INV', { G: 1, DID: DID + 1, PASID }), iotlb, wait());
    t.dma({ pasid: PASID });
    expect(dids()).toEqual([DID]);
    t.post(pasidCache, iotlb, wait());
    t.dma({ pasid: PASID });
    expect(dids()).toEqual([DID + 1]);
  });

  it('rule 7: VTD-07, an invalidation without PASID leaves what the device holds of a PASID', () => {
    const t = moved();
    t.post(iotlb, encodeDescriptor('DEV_TLB_INV', { SID: RID_A, S: 1, ADDR: 0x7fff_ffff_ffff_f000n }), wait());
    expect(t.dma({ pasid: PASID, translated: true })).toMatchObject({ pa: DATA, hit: 'ATC' });
  });
});

it('each of several units has scene ids of its own', () => {
  const trace = new Trace();
  const d = new PciDevice({ name: 'd', rid: 8, vrid: 8, pasidBits: 0, ats: true, pri: false });
  const unit = new VtdUnit(new Memory(2 ** 20), physicalFeatures({}), [d], trace, new Injector(trace), 0, 'dmar1');
  const places = new Set<string>();
  trace.listener = (e) => {
    places.add(e.at);
    if (e.to) places.add(e.to);
  };
  runToEnd(unit.writeRegister('FECTL_REG', 0n));
  runToEnd(unit.writeRegister('IQA_REG', 0x4000n));
  runToEnd(unit.writeRegister('GCMD_REG', 0xc400_0000n));
  runToEnd(unit.writeRegister('IQT_REG', 16n));
  runToEnd(unit.dma({ device: d, pasid: -1, iova: 0x1000n, write: false, translated: false }));
  expect([...places].sort()).toEqual(['hw.device.d', 'hw.dmar1.frcd', 'hw.dmar1.iq', 'hw.dmar1.unit']);
});
