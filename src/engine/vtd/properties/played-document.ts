import { loadVendors } from '../../machine/vendors.ts';
import { Played as Document, type PlayedOptions } from '../../properties/played-document.ts';

await loadVendors(['vtd']);

/** A device as the worked examples have it: 3b:00.0, in the guest 00:03.0. */
export const nic0 = { name: 'nic0', rid: '0000:3b:00.0', vrid: '0000:00:03.0', pasidBits: 20, pri: true };

/** With VT-d units. */
export class Played extends Document {
  constructor(o: PlayedOptions = {}) {
    super('vtd', { devices: [nic0], ...o });
  }
}
