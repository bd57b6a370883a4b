import { number, text, word } from './field.ts';

/** Fields that several operations have. Each call makes its own, since a description belongs to one place. */

export const pasid = () =>
  number('PASID (substream) of the access; without it the access has none.', { max: (1n << 20n) - 1n });
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

export const ram = 'Guest physical address';
export const fd = (about = 'File descriptor; 0 is /dev/iommu.') => number(about, { max: 0x7fffffffn });
