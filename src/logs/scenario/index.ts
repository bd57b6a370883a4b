/** A pasted dump as a scenario document: its bytes at their addresses, the registers, a device, and the access to walk. */

import type { ScenarioDocument } from '../../engine/document/index.ts';
import type { DecodedLog } from '../record.ts';
import type { Missing } from './plan.ts';
import { smmuv3Scenario } from './smmuv3.ts';
import { vtdScenario } from './vtd.ts';

export type Scenario =
  | {
      readonly ok: true;
      readonly document: ScenarioDocument;
      /** What was chosen or made, a sentence each. */
      readonly notes: readonly string[];
      readonly missing: readonly Missing[];
    }
  | { readonly ok: false; readonly why: string };

/**
 * Builds the document of a text with tables in it. The vendor's code must be loaded (`loadVendors`).
 * @param log what `decodeLog` gives for the text
 */
export const scenarioOf = (log: DecodedLog): Scenario =>
  log.dump?.arch === 'vtd' ? vtdScenario(log, log.dump) : smmuv3Scenario(log, log.dump);
