import type { Vendor } from './vendor.ts';

/**
 * The vendors that are modelled. The only file outside the vendors' rooms that imports them: another one is another
 * folder and another line here. A vendor's code is loaded when somebody needs it.
 */
const rooms: readonly {
  readonly name: string;
  readonly title: string;
  readonly load: () => Promise<Vendor>;
}[] = [
  {
    name: 'smmuv3',
    title: 'Arm SMMUv3',
    load: async () => (await import('../smmuv3/index.ts')).smmuv3Vendor,
  },
  {
    name: 'vtd',
    title: 'Intel VT-d',
    load: async () => (await import('../vtd/index.ts')).vtdVendor,
  },
];

/** Names and titles, loaded or not. */
export const modelled: readonly { readonly name: string; readonly title: string }[] = rooms;

const loaded = new Map<string, Vendor>();

/** @returns null for a vendor that nobody has modelled, or that is not loaded yet */
export const findVendor = (name: string): Vendor | null => loaded.get(name) ?? null;

/** Those that are loaded, in the order of the registry. */
export const loadedVendors = (): Vendor[] => rooms.flatMap((r) => loaded.get(r.name) ?? []);

/** Names of the vendors that a text may name: at least those of every document in it. */
export const vendorsIn = (text: string): string[] =>
  rooms.filter((r) => text.includes(r.name) || text.includes('\\u')).map((r) => r.name);

/**
 * Loads vendors, all of them unless some are named; names that nobody has modelled are passed over.
 * @throws what the import threw, when the code can't be fetched
 */
export async function loadVendors(names: readonly string[] = rooms.map((r) => r.name)): Promise<void> {
  await Promise.all(
    rooms.map(async (r) => {
      if (names.includes(r.name) && !loaded.has(r.name)) loaded.set(r.name, await r.load());
    }),
  );
}
