import { loadVendors } from '../../machine/vendors.ts';
import { Played as Document, type PlayedOptions } from '../../properties/played-document.ts';

await loadVendors(['vtd']);

/** Devices as the worked examples have them: 3b:00.0 and 5e:02.0, in the guest 00:03.0 and 00:04.0. */
export const nic0 = { name: 'nic0', rid: '0000:3b:00.0', vrid: '0000:00:03.0', pasidBits: 20, pri: true };
export const nic1 = { name: 'nic1', rid: '0000:5e:02.0', vrid: '0000:00:04.0', pasidBits: 20 };

/** With VT-d units. */
export class Played extends Document {
  constructor(o: PlayedOptions = {}) {
    super('vtd', { devices: [nic0], ...o });
  }
}
