import * as z from 'zod/mini';
import { amount, deviceName, exact, notes, partName, partNameText, patterned, ridAmount } from './field.ts';
import type { Deep, Step } from './operations.ts';
import { policies } from './policy.ts';
import { stepUnion } from './step-schema.ts';

/** The version that every document names. It rises only when a default cannot bridge a change. */
export const format = 'iommuscope/1';
export const iommus = ['smmuv3', 'vtd', 'amdvi', 'selftest'] as const;
export const setups = ['bare', 'plugged', 'booted'] as const;

const note = <S extends z.ZodMiniType>(schema: S, description: string): S => {
  notes.add(schema, { description });
  return schema;
};
const maybe = <S extends z.ZodMiniType>(schema: S, description: string): z.ZodMiniOptional<S> =>
  z.optional(note(schema, description));
const prose = (): z.ZodMiniString => z.string({ error: () => 'a text' });
const oneOfNames = <const V extends readonly string[]>(values: V) =>
  z.enum(values, { error: () => `one of ${values.map((v) => JSON.stringify(v)).join(', ')}` });
const named = (): z.ZodMiniString => patterned(deviceName, 'a name of letters, digits, _ . and -');
const part = (): z.ZodMiniString => patterned(partName, partNameText);

const guestShape = {
  memory: maybe(
    amount(1n << 20n, 1n << 44n, false),
    'Size of the guest’s memory. Default: 1 GiB, or a quarter of host memory where that is less.',
  ),
  base: maybe(amount(0n, 1n << 44n, false), 'Guest physical address where its memory starts. Default: 0x40000000.'),
  backing: maybe(
    oneOfNames(['4KiB', '2MiB', '1GiB']),
    'Size of the host pages behind guest memory: no larger page fits the parent page table. Default: 2MiB.',
  ),
};

const feature = () =>
  z.union([z.boolean(), z.number(), prose()] as const, { error: () => 'true, false, a number or a text' });

const policyShape = Object.fromEntries(
  Object.entries(policies).map(([name, p]) => [
    name,
    maybe(
      p.values === 'count' ? (amount(1n, 65536n, false) as z.ZodMiniType) : oneOfNames(p.values),
      `${p.about}${p.default === undefined ? '' : ` Default: ${p.default}.`}`,
    ),
  ]),
) as { [K in keyof typeof policies]: z.ZodMiniOptional<z.ZodMiniType<string | number, string | number>> };

const platformSchema = exact('the platform', {
  iommu: note(oneOfNames(iommus), 'Kind of the physical IOMMU.'),
  iommus: maybe(
    z.array(part(), { error: () => 'an array of names' }).check(z.minLength(1, { error: () => 'at least one name' })),
    'Names of the physical units, when there are several.',
  ),
  features: maybe(
    z.record(z.string(), feature(), { error: () => 'an object of features by name' }),
    'The vendor’s own feature names. What is left out has the default of a current server part.',
  ),
  memory: maybe(amount(1n << 24n, 1n << 48n, false), 'Size of host physical memory. Default: 8 GiB.'),
  guest: maybe(exact('the guest', guestShape), 'The guest’s memory.'),
  guests: maybe(
    z.array(exact('a guest', { name: part(), ...guestShape }), { error: () => 'an array of guests' }),
    'The guests, when there are several: each what `guest` holds, with a name.',
  ),
  policy: maybe(
    exact('the policies', policyShape),
    'Design alternatives. The default of each is what the kernel does today.',
  ),
  deviations: maybe(z.array(prose(), { error: () => 'an array of names' }), 'Rules broken on purpose, by name.'),
});
notes.add(platformSchema, { id: 'Platform', description: 'The machine.' });

const deviceSchema = exact('a device', {
  name: note(named(), 'Name that steps use.'),
  rid: note(ridAmount(), 'Requester id on the host: segment:bus:device.function, or a number.'),
  vrid: maybe(ridAmount(), 'The same in the guest. Default: the next free slot of bus 0, from 0000:00:01.0 on.'),
  pasidBits: maybe(amount(0n, 20n, false), 'Width of its PASIDs; 0 for none. Default: 16.'),
  ats: maybe(
    z.boolean({ error: () => 'true or false' }),
    'Whether it can ask for translations and cache them. Default: true, false with `stall`.',
  ),
  pri: maybe(z.boolean({ error: () => 'true or false' }), 'Whether it can ask for pages. Default: false.'),
  stall: maybe(
    z.boolean({ error: () => 'true or false' }),
    'Whether its faulting accesses can wait for software (firmware’s dma-can-stall). Default: false.',
  ),
  iommu: maybe(part(), 'The physical unit that it is behind. Default: the first.'),
  guest: maybe(part(), 'The guest that it belongs to. Default: the first.'),
  viommu: maybe(
    part(),
    'The virtual unit that it is behind in its guest. Default: one for each physical unit, named like it with a v before it.',
  ),
});
notes.add(deviceSchema, { id: 'Device' });

export const documentSchema = exact('a document', {
  $schema: maybe(prose(), 'Address of this schema, for editors.'),
  format: note(z.literal(format, { error: () => JSON.stringify(format) }), 'Format and version.'),
  title: note(prose(), 'One line.'),
  about: maybe(prose(), 'Markdown, shown when the scenario is opened.'),
  platform: platformSchema,
  devices: maybe(z.array(deviceSchema, { error: () => 'an array of devices' }), 'The devices. Default: none.'),
  setup: maybe(
    oneOfNames(setups),
    'What is done as step 0. bare: nothing. plugged: the VMM has started and the devices are plugged. booted: the guest has booted too. Default: booted.',
  ),
  steps: note(
    z.array(stepUnion, { error: () => 'an array of steps' }) as unknown as z.ZodMiniType<
      readonly Step[],
      readonly Step[]
    >,
    'What happens, in order.',
  ),
});
notes.add(documentSchema, {
  title: 'iommuscope document',
  description: 'A scenario, a saved session, a test: one format.',
});

/** A document as its author wrote it: checked, but in its own notation and without defaults. */
export type ScenarioDocument = Deep<z.infer<typeof documentSchema>>;
