/** One rule of an actor replaced by a broken or a different one. `about` is what a reader is told. */
type DeviationOf<Rules, K extends keyof Rules> = {
  readonly name: string;
  readonly rule: K;
  readonly about: string;
  readonly instead: Rules[K];
};

export type Deviation<Rules> = { [K in keyof Rules]: DeviationOf<Rules, K> }[keyof Rules];

/**
 * An actor's rules with the named deviations in place. Names of other actors (that begin otherwise than with `actor` and a
 * dot) are skipped, since a document lists all of them together.
 * @throws Error for a name of this actor that does not exist
 */
export function rulesWith<Rules extends object>(
  rules: Rules,
  deviations: readonly Deviation<Rules>[],
  actor: string,
  names: readonly string[],
): Rules {
  const out = { ...rules };
  for (const name of names.filter((n) => n.startsWith(`${actor}.`))) {
    const d = deviations.find((x) => x.name === name);
    if (!d) throw new Error(`no deviation is named ${name}; known: ${deviations.map((x) => x.name).join(', ')}`);
    out[d.rule] = d.instead;
  }
  return out;
}
