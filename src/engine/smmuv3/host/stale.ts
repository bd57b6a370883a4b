import { staleNames } from '../hardware/fixtures/stale.ts';
import type { Bed } from './testbed.ts';

/** For tests: cached entries that a fresh walk would not give, as `IOTLB`, `CD`, `ATC nic0`. */
export const stale = (b: Bed): string[] => staleNames(b.smmus, b.devices);
