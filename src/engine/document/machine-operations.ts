import * as z from 'zod/mini';
import { injectPoints } from '../machine/inject.ts';
import {
  address,
  amount,
  choice,
  hex,
  json,
  number,
  optional,
  size,
  text,
  U64,
  unit,
  type ValueSchema,
  withDefault,
  word,
  words,
} from './field.ts';
import { exactlyOne, operation } from './operation.ts';
import { whichGuest } from './shared-fields.ts';

const space = () => choice('Whose physical memory: the host’s, or the guest’s as its CPUs see it.', ['host', 'guest']);
const which = () =>
  withDefault(choice('The physical IOMMU, or the one that the VMM emulates.', ['physical', 'virtual']), 'physical');
const register = () =>
  text(
    'Register by its architectural name, without prefix: CR0, CMDQ_PROD.',
    /^[A-Z][A-Za-z0-9_]*$/,
    'the name of a register',
  );

/** What a person does to the machine itself: memory, registers, faults of the path. */
export const machineOperations = [
  operation(
    'memory.write',
    'any',
    'Write memory',
    'Writes raw bytes into memory: tables, queues, data.',
    {
      guest: whichGuest(),
      space: space(),
      at: address('Address of the first byte.'),
      u8: optional(words<number>('Bytes.', 8)),
      u32: optional(words<number>('32-bit little-endian words.', 32)),
      u64: optional(words<bigint>('64-bit little-endian words.', 64)),
      hex: optional(hex('Bytes in memory order.')),
    },
    exactlyOne('u8', 'u32', 'u64', 'hex'),
  ),
  operation('memory.read', 'any', 'Read memory', 'Reads raw bytes from memory.', {
    guest: whichGuest(),
    space: space(),
    at: address('Address of the first byte.'),
    length: optional(size('Bytes to read. Without it as many as `expect` lists, or 8.', { max: 1n << 20n })),
  }),
  operation(
    'register.write',
    'any',
    'Write a register',
    'Writes a register of an IOMMU, with everything that it sets off.',
    {
      guest: whichGuest(),
      iommu: which(),
      unit: unit('Name of the unit, when there are several.'),
      reg: register(),
      value: word('Value to write.'),
    },
  ),
  operation('register.read', 'any', 'Read a register', 'Reads a register of an IOMMU.', {
    guest: whichGuest(),
    iommu: which(),
    unit: unit('Name of the unit, when there are several.'),
    reg: register(),
  }),

  operation(
    'inject',
    'any',
    'Inject a fault into the path',
    'The next messages at a point of the path are dropped, delayed, reordered or corrupted.',
    {
      at: choice('Point of the path.', injectPoints),
      action: choice(
        'drop: it is lost. delay: it arrives when the next step starts. reorder: it arrives after the next one. corrupt: bits flip.',
        ['drop', 'delay', 'reorder', 'corrupt'],
      ),
      count: withDefault(number('Messages to act on.', { min: 1n, max: 1000000n }), 1),
      xor: withDefault(
        json<z.ZodMiniTuple<[ValueSchema, ValueSchema], null>, [bigint, bigint]>(
          'For corrupt: bits to flip in the message’s first two 64-bit words.',
          z.tuple([amount(0n, U64, true), amount(0n, U64, true)], { error: () => 'an array of two 64-bit numbers' }),
          'bigints',
        ),
        ['0x0', '0x1000'],
      ),
    },
    (step) =>
      step['xor'] !== undefined && step['action'] !== 'corrupt'
        ? { field: 'xor', expected: 'no xor unless the action is corrupt' }
        : undefined,
  ),
] as const;
