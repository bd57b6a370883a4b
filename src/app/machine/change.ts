import { policyProblem } from '../../engine/document/policy.ts';
import type { Vendor } from '../../engine/machine/index.ts';
import type { Doc } from '../../store/index.ts';

type Platform = Doc['platform'];
type FeatureValue = boolean | number | string;

/** The platform with a rule broken or mended; the vendor's order is kept, so that the same set is the same document. */
export function withRule(platform: Platform, vendor: Vendor, name: string, broken: boolean): Platform {
  const { deviations: before = [], ...rest } = platform;
  const wanted = new Set(before.filter((n) => n !== name));
  if (broken) wanted.add(name);
  const known = vendor.deviations.map((d) => d.name).filter((n) => wanted.has(n));
  return known.length === 0 ? rest : { ...rest, deviations: known };
}

/** The platform with a feature set; its default is left out of the document. */
export function withFeature(platform: Platform, vendor: Vendor, name: string, value: FeatureValue): Platform {
  const { features: before = {}, ...rest } = platform;
  const { [name]: _, ...others } = before;
  const features = vendor.features[name]?.default === value ? others : { ...others, [name]: value };
  return Object.keys(features).length === 0 ? rest : { ...rest, features };
}

/** The platform with a policy set; `value` undefined: the default. */
export function withPolicy(platform: Platform, name: string, value: string | undefined): Platform {
  const { policy: before = {}, ...rest } = platform;
  const { [name as keyof typeof before]: _, ...others } = before;
  const policy = value === undefined ? others : { ...others, [name]: value };
  return Object.keys(policy).length === 0 ? rest : { ...rest, policy };
}

/** What was typed for a feature, in the type that its default has; null when it is no such value. */
export function featureValue(text: string, like: FeatureValue): FeatureValue | null {
  if (typeof like === 'string') return text.trim();
  if (typeof like === 'boolean') return text === 'true' ? true : text === 'false' ? false : null;
  return /^\d+$/.test(text.trim()) ? Number(text) : null;
}

/** Whether a policy can have the value now. */
export const isBuilt = (name: string, value: string, vendor: Vendor | null): boolean =>
  policyProblem(name, value, vendor?.policies) === undefined;
