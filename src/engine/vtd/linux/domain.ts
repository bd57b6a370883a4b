/** Domains and their cache tags (struct dmar_domain, struct cache_tag): plain data, owned by a kernel's state. */

/** `fs` and `ss`: page tables of the first and second stage; `sva` a process's table. */
export type DomainKind = 'fs' | 'ss' | 'nested' | 'sva' | 'identity' | 'blocked';

export type CacheTagType = 'iotlb' | 'devtlb' | 'nesting_iotlb' | 'nesting_devtlb';

/** One cache that has to be told when the domain changes. */
export interface CacheTag {
  readonly type: CacheTagType;
  readonly did: number;
  readonly pasid: number;
  readonly unit: number;
  /** Endpoint of the device TLB kinds, the unit's own name for the others. */
  readonly device: string;
  users: number;
}

export interface Domain {
  readonly handle: number;
  readonly kind: DomainKind;
  /** FSPTPTR of fs and sva, SSPTPTR of ss; for nested what user space gave as pgtbl_addr, all 64 bits. */
  readonly root: bigint;
  /** Levels of the table at `root`; nested: 4 or 5 by addr_width. */
  readonly levels: number;
  /** ss: width of the addresses that the table takes, which a unit without shallow tables limits further. */
  readonly inputBits: number;
  /** ss: IOMMU_HWPT_ALLOC_NEST_PARENT. */
  readonly nestParent: boolean;
  /** Walks of the table snoop (PWSNP in ss and nested entries). */
  readonly coherent: boolean;
  /** ss: it may be asked for dirty pages. */
  readonly dirtyOps: boolean;
  /** ss: maps are followed by a flush where a unit caches not-present entries (iotlb_sync_map). */
  readonly syncMap: boolean;
  /** ss: leaf sizes above 4 KiB that the table may hold, as CAP.SSLPS codes them. */
  readonly superPages: number;
  /** nested: handle of the parent, else -1. */
  readonly parent: number;
  /** nested: flags of iommu_hwpt_vtd_s1 (SRE 1, EAFE 2, WPE 4) and addr_width, as given. */
  readonly s1Flags: number;
  readonly s1Width: number;
  /** Someone takes its page requests (domain->iopf_handler). */
  faults: boolean;
  /** PGSNP in its entries (force_snooping). */
  forceSnooping: boolean;
  /** SSADE in its entries. */
  dirtyTracking: boolean;
  /** DID in each unit that it is attached behind (iommu_array). */
  dids: { readonly unit: number; readonly did: number; users: number }[];
  /** Devices and PASIDs that have it, the one that came last first (list_add of devices and dev_pasids). */
  users: { readonly device: string; readonly pasid: number }[];
  tags: CacheTag[];
}

export const BLOCKED = 0;
export const IDENTITY = -1;

/** Reserved DIDs: 0 tags not-present results when CM=1, 1 is SVA's and pass-through's (FLPT_DEFAULT_DID). */
export const DEFAULT_DID = 1;
export const FIRST_DID = 2;

export type DomainOptions = Partial<Omit<Domain, 'handle' | 'dids' | 'users' | 'tags'>> & Pick<Domain, 'kind'>;

/** A domain with no attachment; what is left out is off, `levels` 4. */
export const makeDomain = (handle: number, o: DomainOptions): Domain => ({
  root: 0n,
  levels: 4,
  inputBits: 12 + 9 * (o.levels ?? 4),
  nestParent: false,
  coherent: false,
  dirtyOps: false,
  syncMap: false,
  superPages: 0,
  parent: -1,
  s1Flags: 0,
  s1Width: 48,
  faults: false,
  forceSnooping: false,
  dirtyTracking: false,
  ...o,
  handle,
  dids: [],
  users: [],
  tags: [],
});

/** blocking_domain and identity_domain. */
export const staticDomains = (): Domain[] => [
  makeDomain(BLOCKED, { kind: 'blocked' }),
  makeDomain(IDENTITY, { kind: 'identity' }),
];
