/**
 * Messages around the SMMUv3 that are no records of a queue: what failed while the driver set an SMMU or a device up, and page
 * faults that nobody takes. Source: Linux drivers/iommu/arm/arm-smmu-v3/{arm-smmu-v3,arm-smmu-v3-sva,tegra241-cmdqv}.c and
 * drivers/iommu/{iommu-sva-lib,io-pgfault}.c, v4.19 to v7.1.
 */

import type { Draft } from '../record.ts';

interface Notice {
  readonly pattern: RegExp;
  readonly kind: string;
  readonly severity: 'error' | 'warning' | 'information';
  /** Scene object. */
  readonly at: string;
  /** Also without the driver's name in front: it is printed for the device. */
  readonly anywhere?: boolean;
  facts?(m: RegExpExecArray): Record<string, string | number>;
  text(m: RegExpExecArray): string;
}

const hex = (s: string | undefined): string => `0x${BigInt(s ?? 0).toString(16)}`;

const notices: readonly Notice[] = [
  {
    pattern: /iopf \(pasid (-?\d{1,10})\) without domain attached or handler installed/,
    kind: 'iopf_unhandled',
    severity: 'warning',
    at: 'kernel.driver',
    anywhere: true,
    facts: (m) => ({ pasid: Number(m[1]) }),
    text: (m) =>
      `A device asked for a page (PASID ${m[1]}), but no domain with a page-fault handler is attached there, so the request is answered as invalid; usually the address space was unbound while the device still used it.`,
  },
  {
    pattern: /\bno pending PRQ, drop response\b/,
    kind: 'iopf_no_request',
    severity: 'warning',
    at: 'kernel.driver',
    anywhere: true,
    text: () =>
      'A page response came for which no page request waits; usually it came twice, or the device was removed.',
  },
  {
    pattern: /\bstream (\d{1,10}) already in tree(?: from dev ([\w:.-]{1,64}))?/,
    kind: 'stream_conflict',
    severity: 'error',
    at: 'hw.strtab',
    anywhere: true,
    facts: (m) => ({ sid: hex(m[1]), ...(m[2] ? { owner: m[2] } : {}) }),
    text: (m) =>
      `StreamID ${hex(m[1])} belongs to another device${m[2] ? ` (${m[2]})` : ''} already, so this one gets no SMMU; usually PCI aliases behind a bridge, or a wrong iommu-map or IORT entry.`,
  },
  {
    pattern: /\bAliasing StreamID (0x[0-9a-f]{1,8})(?: \(from ([\w:.-]{1,64})\))? unsupported, expect DMA to be broken/,
    kind: 'stream_conflict',
    severity: 'error',
    at: 'hw.strtab',
    anywhere: true,
    facts: (m) => ({ sid: hex(m[1]), ...(m[2] ? { owner: m[2] } : {}) }),
    text: (m) =>
      `StreamID ${hex(m[1])} belongs to another device${m[2] ? ` (${m[2]})` : ''} already, which the driver does not support; usually PCI aliases behind a bridge, or a wrong iommu-map or IORT entry.`,
  },
  {
    pattern: /\b[Ff]ailed to enable ATS \(STU (\d{1,3})\)/,
    kind: 'ats_failed',
    severity: 'error',
    at: 'hw.smmu',
    anywhere: true,
    facts: (m) => ({ stu: Number(m[1]) }),
    text: (m) =>
      `PCI refused to switch ATS on (smallest translation unit 2^${m[1]} bytes), although the STE allows it; the device works untranslated.`,
  },
  {
    pattern: /\b[Ff]ailed to enable PASID\b/,
    kind: 'pasid_failed',
    severity: 'error',
    at: 'hw.smmu',
    anywhere: true,
    text: () => 'PCI refused to switch PASID on for the device, so it has no SVA and no PASID domains.',
  },
  {
    pattern: /\bfailed to enable IOPF feature\b|\biopf[\w ]{0,30} failed\b/i,
    kind: 'iopf_failed',
    severity: 'error',
    at: 'kernel.driver',
    text: () => 'Page faults of the device cannot be handled: switching the feature on failed.',
  },
  {
    pattern: /\b2-level strtab only covers (\d{1,2})\/(\d{1,2}) bits of SID/,
    kind: 'strtab_covers',
    severity: 'warning',
    at: 'hw.strtab',
    facts: (m) => ({ covered_bits: Number(m[1]), sid_bits: Number(m[2]) }),
    text: (m) =>
      `The stream table covers ${m[1]} of the ${m[2]} StreamID bits; a transaction with a larger StreamID gives C_BAD_STREAMID.`,
  },
  {
    pattern:
      /\bno (evtq|gerr|priq) irq - (?:events will not be reported|errors will not be reported|PRI will be broken)/,
    kind: 'no_interrupt',
    severity: 'warning',
    at: 'kernel.driver',
    facts: (m) => ({ queue: m[1] as string }),
    text: (m) =>
      `Firmware names no interrupt for ${{ evtq: 'the event queue, so faults stay unseen', gerr: 'global errors, so a stopped command queue stays unseen', priq: 'the PRI queue, so page requests are never answered' }[m[1] as 'evtq' | 'gerr' | 'priq']}.`,
  },
  {
    pattern: /\bfailed to enable (evtq|gerror|priq|combined) irq/,
    kind: 'no_interrupt',
    severity: 'warning',
    at: 'kernel.driver',
    facts: (m) => ({ queue: m[1] as string }),
    text: (m) => `The kernel could not request the ${m[1]} interrupt; what it would report stays unseen.`,
  },
  {
    pattern: /\bGBPA not responding to update\b/,
    kind: 'gbpa_timeout',
    severity: 'error',
    at: 'hw.smmu',
    text: () =>
      'The SMMU did not take a new GBPA value in time; usually it has no clock or power, or the base address is wrong.',
  },
  {
    pattern:
      /\bfailed to (clear cr0|disable irqs|enable (?:command queue|event queue|PRI queue|ATS check|SMMU interface)|enable irqs)\b/,
    kind: 'control_timeout',
    severity: 'error',
    at: 'hw.smmu',
    facts: (m) => ({ step: m[1] as string }),
    text: (m) =>
      `The SMMU did not acknowledge a control register in time (${m[1]}); usually it has no clock or power, or the base address is wrong.`,
  },
  {
    pattern:
      /\bfailed to allocate (?:queue \((0x[0-9a-f]{1,16}) bytes\) for (\w{1,16})|(l1 stream table|linear stream table|l2 stream table|l1 context descriptor table|context descriptor table|MSIs)\b)/i,
    kind: 'allocation_failed',
    severity: 'error',
    at: 'kernel.driver',
    facts: (m) => ({ what: (m[2] ?? m[3]) as string }),
    text: (m) => `The driver could not allocate ${m[2] ? `the memory of ${m[2]}` : `the ${m[3]}`}.`,
  },
  {
    pattern:
      /\b(no translation support|AArch64 table format not supported|unknown\/unsupported TT endianness|embedded implementation not supported|command queue size <= batch size[^!]{0,40}not supported|no AArch64 table format)/,
    kind: 'unsupported',
    severity: 'error',
    at: 'hw.smmu',
    facts: (m) => ({ feature: m[1] as string }),
    text: (m) => `The driver does not use this SMMU: ${m[1]}.`,
  },
  {
    pattern: /\bSMMU currently enabled! Resetting/,
    kind: 'was_enabled',
    severity: 'warning',
    at: 'hw.smmu',
    text: () =>
      'The SMMU was on when the driver took over, from firmware or from a kernel before a kdump; DMA still running is cut off by the reset.',
  },
  {
    pattern:
      /\b(?:VINTF(\d{1,2}): )?(?:L?VCMDQ(\d{1,3})(?:\/L?VCMDQ\d{1,3})?: )?(?:L?VCMDQ\d{1,3}: )?uncleared error detected, resetting/,
    kind: 'cmdqv_uncleared_error',
    severity: 'warning',
    at: 'hw.cmdq',
    text: () =>
      'A command queue of the CMDQV extension still had an error when the driver took it down, and was reset.',
  },
  {
    pattern: /\bfailed to (enable|disable), STATUS=(0x[0-9A-Fa-f]{1,8})/,
    kind: 'cmdqv_control_timeout',
    severity: 'error',
    at: 'hw.cmdq',
    facts: (m) => ({ step: m[1] as string, status: hex(m[2]) }),
    text: (m) => `A command queue of the CMDQV extension did not ${m[1]} in time (STATUS ${hex(m[2])}).`,
  },
];

const ANYWHERE = /iopf|pending PRQ|already in tree|Aliasing StreamID|enable ATS|enable PASID/;

/** Reads such a message as a record, or null. `named`: the driver's name stood before it. */
export function noticeRecord(body: string, line: number, smmu: string | null, named: boolean): Draft | null {
  if (!named && !ANYWHERE.test(body)) return null;
  for (const n of notices) {
    if (!named && !n.anywhere) continue;
    const m = n.pattern.exec(body);
    if (!m) continue;
    const facts = n.facts?.(m) ?? {};
    const device = named ? null : /\b([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\b/.exec(body.slice(0, m.index))?.[1];
    return {
      type: `smmuv3_${n.kind}`,
      vendor: 'arm',
      arch: 'smmuv3',
      line,
      ...(smmu ? { smmu } : {}),
      ...(device ? { device } : {}),
      severity: n.severity,
      ...facts,
      explain: n.text(m),
      where: { at: n.at, ...(typeof facts.sid === 'string' ? { sid: facts.sid } : {}) },
    };
  }
  return null;
}
