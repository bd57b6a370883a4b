import type { VendorName } from './bytes.ts';
import type { Random } from './random.ts';

export const hex = (n: number | bigint): string => `0x${n.toString(16)}`;

/** `n` random bytes, as a document writes them. */
export const bytes = (r: Random, n: number): string =>
  Array.from({ length: n / 8 }, () => {
    const w = r.word();
    return Array.from({ length: 8 }, (_, i) =>
      Number((w >> BigInt(8 * i)) & 0xffn)
        .toString(16)
        .padStart(2, '0'),
    ).join('');
  }).join('');

/** What a random machine, and what is done to it, has of its vendor. */
export interface VendorParts {
  readonly units: readonly string[];
  /** Accesses of devices can wait for software. */
  readonly stalls: boolean;
  readonly commandBytes: number;
  readonly features: (r: Random) => Readonly<Record<string, boolean | number | string>>;
  readonly writable: readonly string[];
  readonly readable: readonly string[];
  /** ioctls with the vendor's data. */
  readonly invalidate: (r: Random) => object;
  readonly allocate: (r: Random) => object;
}

export const vendorParts: Readonly<Record<VendorName, VendorParts>> = {
  smmuv3: {
    units: ['smmu0', 'smmu1'],
    stalls: true,
    commandBytes: 16,
    features: (r) => ({
      ...(r.once(3) ? { STALL_MODEL: 0, TERM_MODEL: false } : {}),
      ...(r.once(4) ? { RIL: false } : {}),
      ...(r.once(4) ? { HTTU: r.below(3) } : {}),
      ...(r.once(6) ? { iotlbEntries: 3, atcEntries: 2 } : {}),
      ...(r.once(5) ? { hostPage: r.pick(['16KiB', '64KiB']) } : {}),
      ...(r.once(5) ? { guestPage: r.pick(['16KiB', '64KiB']) } : {}),
    }),
    writable: [
      'CR0',
      'CMDQ_PROD',
      'CMDQ_CONS',
      'EVENTQ_CONS',
      'GERRORN',
      'GBPA',
      'IRQ_CTRL',
      'CR2',
      'STRTAB_BASE_CFG',
      'PRIQ_CONS',
    ],
    readable: ['CR0ACK', 'GERROR', 'EVENTQ_PROD'],
    invalidate: (r) => ({
      call: 'IOMMU_HWPT_INVALIDATE',
      in: {
        hwpt_id: r.below(9),
        data_type: 1,
        entry_len: 16,
        entry_num: 1,
        entries: [{ cmd: [hex(r.word()), hex(r.word())] }],
      },
    }),
    allocate: (r) => ({
      call: 'IOMMU_HWPT_ALLOC',
      in: {
        dev_id: r.below(6),
        pt_id: r.below(9),
        data_type: 2,
        data_len: 16,
        data: { ste: [hex(r.word()), hex(r.word())] },
      },
    }),
  },
  vtd: {
    units: ['dmar0', 'dmar1'],
    stalls: false,
    commandBytes: 32,
    features: (r) => ({
      ...(r.once(3) ? { CM: true } : {}),
      ...(r.once(4) ? { PSI: false } : {}),
      ...(r.once(4) ? { SAGAW: r.pick([4, 14]), MGAW: 48 } : {}),
      ...(r.once(4) ? { FS5LP: false, MAMV: r.pick([0, 9, 18]) } : {}),
      ...(r.once(5) ? { RWBF: true, NFR: r.pick([1, 8]) } : {}),
      ...(r.once(6) ? { ND: r.below(3) } : {}),
      ...(r.once(6) ? { iotlbEntries: 3, atcEntries: 2 } : {}),
    }),
    writable: [
      'GCMD_REG',
      'RTADDR_REG',
      'CCMD_REG',
      'FSTS_REG',
      'FECTL_REG',
      'FRCD_REG0_HI',
      'IQH_REG',
      'IQT_REG',
      'IQA_REG',
      'IECTL_REG',
      'PQH_REG',
      'PQA_REG',
      'PRS_REG',
      'PECTL_REG',
      'IVA_REG',
      'IOTLB_REG',
    ],
    readable: ['GSTS_REG', 'FSTS_REG', 'IQH_REG', 'PQT_REG'],
    invalidate: (r) => ({
      call: 'IOMMU_HWPT_INVALIDATE',
      in: {
        hwpt_id: r.below(9),
        data_type: 0,
        entry_len: 24,
        entry_num: 1,
        entries: [{ addr: hex(r.word()), npages: hex(r.word()), flags: r.below(3) }],
      },
    }),
    allocate: (r) => ({
      call: 'IOMMU_HWPT_ALLOC',
      in: {
        dev_id: r.below(6),
        pt_id: r.below(9),
        data_type: 1,
        data_len: 24,
        data: { flags: hex(r.below(16)), pgtbl_addr: hex(r.word()), addr_width: r.pick([0, 39, 48, 57]) },
      },
    }),
  },
};
