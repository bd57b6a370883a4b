/**
 * Id of a scene object. A scope is the name of one of several units, guests or virtual units, several of them joined by
 * dots; it is empty while there is only one, so that `hw.cmdq` of a small machine becomes `hw.smmu1.cmdq` of a larger one.
 */
export const scoped = (prefix: string, scope: string, rest: string): string =>
  scope === '' ? `${prefix}.${rest}` : `${prefix}.${scope}.${rest}`;

/** The scope of one of `names`: empty when it is the only one. */
export const scopeOf = (names: readonly string[], name: string): string => (names.length > 1 ? name : '');

/** Scene id of a device on the bus; names of devices are unique in a machine. */
export const deviceId = (d: { readonly name: string }): string => `hw.device.${d.name}`;
