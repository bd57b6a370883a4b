/** Where the playing head stands: exactly the first `event` events of step `step` have happened. Step 0 is the setup. */
export interface Place {
  readonly step: number;
  readonly event: number;
}

/** Events in each step, by step: what a place can be checked and moved against. */
export type Lengths = readonly number[];

export const samePlace = (a: Place, b: Place): boolean => a.step === b.step && a.event === b.event;

/** The nearest place that exists. */
export function clampPlace(p: Place, lengths: Lengths): Place {
  if (lengths.length === 0) return { step: 0, event: 0 };
  const step = Math.max(0, Math.min(lengths.length - 1, Math.trunc(p.step) || 0));
  const n = lengths[step]!;
  if (p.step > step) return { step, event: n };
  return { step, event: Math.max(0, Math.min(n, Math.trunc(p.event) || 0)) };
}

/** Where a document starts when it is opened: the setup has been done, the first step is to come. */
export const startPlace = (lengths: Lengths): Place =>
  lengths.length > 1 ? { step: 1, event: 0 } : { step: 0, event: lengths[0] ?? 0 };

export const endPlace = (lengths: Lengths): Place => ({
  step: Math.max(0, lengths.length - 1),
  event: lengths[lengths.length - 1] ?? 0,
});

export const isAtEnd = (p: Place, lengths: Lengths): boolean => samePlace(p, endPlace(lengths));

/** One event forward; from the end of a step into the next one that has events. */
export function nextEvent(p: Place, lengths: Lengths): Place {
  if (p.event < (lengths[p.step] ?? 0)) return { step: p.step, event: p.event + 1 };
  for (let step = p.step + 1; step < lengths.length; step++) if (lengths[step]! > 0) return { step, event: 1 };
  return endPlace(lengths);
}

/** One event back. The start of a step and the end of the one before it are the same state: it stops only at the latter. */
export function previousEvent(p: Place, lengths: Lengths): Place {
  if (p.event > 1 || (p.step === 0 && p.event > 0)) return { step: p.step, event: p.event - 1 };
  if (p.step === 0) return p;
  if (p.event === 1) return { step: p.step - 1, event: lengths[p.step - 1]! };
  const step = p.step - 1;
  return lengths[step]! > 1
    ? { step, event: lengths[step]! - 1 }
    : previousEvent({ step, event: lengths[step]! }, lengths);
}

/** The end of this step, or of the next one when it is reached. */
export function nextStep(p: Place, lengths: Lengths): Place {
  const n = lengths[p.step] ?? 0;
  if (p.event < n) return { step: p.step, event: n };
  if (p.step + 1 < lengths.length) return { step: p.step + 1, event: lengths[p.step + 1]! };
  return p;
}

/** The end of the step before; from within the setup its beginning. */
export function previousStep(p: Place, lengths: Lengths): Place {
  if (p.step === 0) return { step: 0, event: 0 };
  return { step: p.step - 1, event: lengths[p.step - 1]! };
}

/** What a document is called in the address bar: a scenario of the library, or a document that this browser keeps. */
export type AddressOf = { readonly scenario: string } | { readonly local: string } | null;

/** The place in the address bar: `#s=first-dma&step=3&event=5`, `#doc=k3v9x0a1b2c3&step=3&event=5`. */
export function placeToHash(of: AddressOf, p: Place): string {
  const name = of === null ? '' : 'local' in of ? `doc=${of.local}&` : `s=${encodeURIComponent(of.scenario)}&`;
  return `#${name}step=${p.step}&event=${p.event}`;
}

export interface Asked {
  readonly scenario: string | null;
  readonly local: string | null;
  readonly step: number | null;
  readonly event: number | null;
  /** False when there is something in the address of which nothing can be read. */
  readonly readable: boolean;
}

/** What an address bar asks for; anything that cannot be read is left out. */
export function hashToPlace(hash: string): Asked {
  const text = hash.replace(/^#/, '');
  const params = new URLSearchParams(text);
  const count = (name: string): number | null => {
    const v = params.get(name);
    return v !== null && /^\d{1,9}$/.test(v) ? Number(v) : null;
  };
  const asked = { scenario: params.get('s'), local: params.get('doc'), step: count('step'), event: count('event') };
  return { ...asked, readable: text === '' || Object.values(asked).some((v) => v !== null) };
}
