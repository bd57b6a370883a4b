import { guest, number, text, unit, word } from './field.ts';

/** Fields that several operations have. Each call makes its own, since a description belongs to one place. */

export const pasid = (about = 'PASID of the access; without it the access has none.') =>
  number(about, { max: (1n << 20n) - 1n });
export const iova = (about = 'Input address, 64 bits.') => word(about);

export const domainName = /^[A-Za-z_][A-Za-z0-9_.-]*$/;
export const domain = (about: string, values?: readonly string[]) =>
  text(about, domainName, 'the name of a domain', values);
export const realDomain = (about: string) =>
  text(
    about,
    /^(?!(?:bypass|blocked)$)[A-Za-z_][A-Za-z0-9_.-]*$/,
    'the name of a domain with a page table (not bypass or blocked)',
    ['dma0'],
  );

/** Any name of the author's choice that is no special domain. */
export const process = (about: string) =>
  text(about, /^(?!(?:bypass|blocked)$)[A-Za-z_][A-Za-z0-9_.-]*$/, 'the name of a process (not bypass or blocked)', [
    'app',
  ]);

export const whichGuest = () => guest('The guest, when there are several.');
/** The VMM process of that guest. */
export const whichProcess = () => guest('The guest whose VMM does it, when there are several.');
export const whichVirtual = () => unit('The guest’s virtual IOMMU, when it has several.');

export const ram = 'Guest physical address';
export const fd = (about = 'File descriptor; 0 is /dev/iommu.') => number(about, { max: 0x7fffffffn });
