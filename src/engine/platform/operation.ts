import type { Op, Operation, OpResult } from '../machine/index.ts';
import { deviceNamed, type Guest, guestNamed, guestOfDevice, type Machine } from './machine.ts';

export type Fields = Operation & Record<string, never>;
/** An operation at which nobody else could act gives its result at once. */
export type Handler = (p: Machine, op: Fields) => Op<OpResult> | OpResult;

export const done = (text: string, more: Partial<OpResult> = {}): OpResult => ({ ok: true, text, ...more });
export const refused = (text: string, errno?: string): OpResult => ({ ok: false, text, ...(errno ? { errno } : {}) });

/** Runs an operation of either kind. */
export function* run(r: Op<OpResult> | OpResult): Op<OpResult> {
  return 'next' in r ? yield* r : r;
}

/** The guest that an operation is for: the one it names, else that of its device. */
export const guestFor = (p: Machine, op: Operation): Guest =>
  op['guest'] === undefined && typeof op['device'] === 'string'
    ? guestOfDevice(p, deviceNamed(p, op['device']))
    : guestNamed(p, op['guest']);
