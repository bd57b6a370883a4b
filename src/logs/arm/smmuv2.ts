/**
 * SMMUv2 messages: recognised, listed with what they print, and refused, because nothing of SMMUv3 applies to them.
 * Source: arm_smmu_context_fault, arm_smmu_global_fault in drivers/iommu/arm/arm-smmu/arm-smmu.c and their older forms.
 */

import { Cursor } from '../cursor.ts';
import type { Draft } from '../record.ts';

export const refusal = 'SMMUv2 (arm-smmu) message, not SMMUv3: named here, and not decoded as an SMMUv3 event';

export interface V2Message {
  readonly fields: Record<string, unknown>;
  readonly type: string;
  readonly explain: string;
  readonly complete: boolean;
  readonly score: number;
}

/** A hexadecimal number as it is printed, with its leading zeros. */
function printed(c: Cursor): string | null {
  c.skipSpace();
  const m = /^0x([0-9a-fA-F]{0,16})(?:\n([0-9a-fA-F]{1,16})(?=,|\s*$))?/.exec(c.text.slice(c.pos, c.pos + 40));
  const digits = m ? `${m[1]}${m[2] ?? ''}` : '';
  if (!m || digits === '' || digits.length > 16) return null;
  c.pos += m[0].length;
  return `0x${digits.toLowerCase()}`;
}

function contextFault(c: Cursor): V2Message | null {
  if (!c.lit('Unhandled context fault:')) return null;
  const fields: Record<string, unknown> = {};
  let score = 1;
  let complete = false;
  for (;;) {
    c.lit(',');
    const name = c.oneOf('fsr=', 'iova=', 'fsynr=', 'cbfrsynra=', 'cb=');
    if (!name) break;
    const key = name.slice(0, -1);
    const value = key === 'cb' ? c.dec() : printed(c);
    if (value === null) break;
    fields[key] = value;
    score++;
    complete = key === 'cb';
  }
  return {
    type: 'smmuv2_context_fault',
    fields,
    explain: `An SMMUv2 context bank reports a fault${fields.iova ? ` at ${String(fields.iova)}` : ''}; this is an older architecture, so no SMMUv3 record is read from it.`,
    complete,
    score,
  };
}

function unknownStream(c: Cursor): V2Message | null {
  if (!c.lit('Blocked unknown Stream ID')) return null;
  const sid = printed(c);
  if (!sid) return null;
  return {
    type: 'smmuv2_unknown_stream',
    fields: { sid },
    explain: `An SMMUv2 blocked Stream ID ${sid}, for which no mapping is set up; this is an older architecture, so no SMMUv3 record is read from it.`,
    complete: true,
    score: 2,
  };
}

function globalFault(c: Cursor): V2Message | null {
  if (!c.lit('GFSR')) return null;
  const gfsr = printed(c);
  if (!gfsr) return null;
  const fields: Record<string, unknown> = { gfsr };
  for (const name of ['GFSYNR0', 'GFSYNR1', 'GFSYNR2']) {
    if (!c.lit(`, ${name}`)) break;
    const v = printed(c);
    if (v === null) break;
    fields[name.toLowerCase()] = v;
  }
  return {
    type: 'smmuv2_global_fault',
    fields,
    explain: 'An SMMUv2 reports a global fault; this is an older architecture, so no SMMUv3 record is read from it.',
    complete: fields.gfsynr2 !== undefined,
    score: Object.keys(fields).length,
  };
}

function syncTimeout(c: Cursor): V2Message | null {
  if (!c.lit('TLB sync timed out')) return null;
  return {
    type: 'smmuv2_tlb_sync_timeout',
    fields: {},
    explain:
      'An SMMUv2 did not complete a TLB invalidation in time; this is an older architecture, so no SMMUv3 record is read from it.',
    complete: true,
    score: 1,
  };
}

/** Parses the SMMUv2 message at the start of the text, or null. */
export function parseV2(text: string): V2Message | null {
  for (const p of [contextFault, unknownStream, globalFault, syncTimeout]) {
    const m = p(new Cursor(text));
    if (m) return m;
  }
  return null;
}

/** Lines that only repeat a fault bit by bit, or announce one. */
export const isV2Detail = (body: string): boolean =>
  /^(?:FSR|FSYNR[01]?|GFSR)\s*=|^Unexpected global fault, this could be serious/.test(body);

/** The rest of such a line, wrapped. */
export const isV2DetailRest = (body: string): boolean => /^SID=0x[0-9a-f]{1,8}$|^[A-Z0-9= ]{1,40}\]$/.test(body);

/** Where an SMMUv2 message may begin in a line without a driver name. */
const START = /\bUnhandled context fault: (?:fsr|iova)=|\bBlocked unknown Stream ID 0x|\bGFSR 0x[0-9a-f]{8}, GFSYNR0/;
export const findV2 = (body: string): number => START.exec(body)?.index ?? -1;

export function v2Record(m: V2Message, line: number, smmu: string | null, xen: boolean): Draft {
  return {
    type: m.type,
    vendor: 'arm',
    arch: 'smmuv2',
    ...(xen ? { hypervisor: 'xen' } : {}),
    line,
    ...(smmu ? { smmu } : {}),
    ...m.fields,
    supported: false,
    refusal,
    explain: m.explain,
  };
}
