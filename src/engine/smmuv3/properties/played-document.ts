import { loadVendors } from '../../machine/vendors.ts';
import { Played as Document, type PlayedOptions } from '../../properties/played-document.ts';

await loadVendors(['smmuv3']);

/** A device as the worked examples have it: vSID 0x8, pSID 0x108. */
export const nic0 = { name: 'nic0', rid: '0x108', vrid: '0x8', pasidBits: 4 };
export const nic1 = { name: 'nic1', rid: '0x110', vrid: '0x10', ats: false };

/** With an SMMU: streams and command queues. */
export class Played extends Document {
  constructor(o: PlayedOptions = {}) {
    super('smmuv3', { devices: [nic0], ...o });
  }

  /** Address of an STE in the stream table that a register points to. */
  steAt(of: 'physical' | 'virtual', sid: number): bigint {
    const base = this.register(of, 'STRTAB_BASE') & 0xfffffffffffc0n;
    const cfg = this.register(of, 'STRTAB_BASE_CFG');
    if (((cfg >> 16n) & 3n) === 0n) return base + 64n * BigInt(sid);
    const split = Number((cfg >> 6n) & 31n);
    const [l1] = this.read(of === 'physical' ? 'host' : 'guest', base + 8n * BigInt(sid >> split), 1);
    return (l1! & 0xfffffffffffc0n) + 64n * BigInt(sid & (2 ** split - 1));
  }

  ste(of: 'physical' | 'virtual', sid: number): bigint[] {
    return this.read(of === 'physical' ? 'host' : 'guest', this.steAt(of, sid), 8);
  }

  /** Entries of a queue from index `from` on, as they lie in its memory. */
  entries(of: 'physical' | 'virtual', queue: 'CMDQ' | 'EVENTQ', from: bigint): bigint[][] {
    const base = this.register(of, `${queue}_BASE`);
    const size = queue === 'CMDQ' ? 2 : 4;
    const mask = (1n << (base & 31n)) - 1n;
    const out: bigint[][] = [];
    for (let i = from; i !== this.prod(of, queue); i = (i + 1n) & ((mask << 1n) | 1n))
      out.push(
        this.read(
          of === 'physical' ? 'host' : 'guest',
          (base & 0xfffffffffffe0n) + BigInt(size * 8) * (i & mask),
          size,
        ),
      );
    return out;
  }

  prod(of: 'physical' | 'virtual', queue: 'CMDQ' | 'EVENTQ'): bigint {
    return this.register(of, `${queue}_PROD`) & 0xfffffn;
  }

  /** The physical commands that something leads to, without the SYNCs (one that has completed has zeroed its first half). */
  sent(what: () => unknown): bigint[][] {
    const from = this.prod('physical', 'CMDQ');
    what();
    return this.entries('physical', 'CMDQ', from).filter((w) => (w[0]! & 0xffn) !== 0x46n && w[0]! !== 0n);
  }

  /** Opcodes of everything, SYNCs too. */
  opcodes(what: () => unknown): number[] {
    const from = this.prod('physical', 'CMDQ');
    what();
    return this.entries('physical', 'CMDQ', from).map((w) => Number(w[0]! & 0xffn));
  }
}
