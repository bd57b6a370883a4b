/** QEMU's VT-d events: what their arguments say beyond the printed numbers, one sentence each, and where they arise. */

import { decode, hexPlain } from '../../engine/bits/index.ts';
import { decodeFault, deviceText, faultName, faultSummary, registerMap } from '../../engine/vtd/layout/index.ts';
import { descriptorFacts, descriptorFaults, descriptorMeaning, descriptorRaw } from '../intel/descriptor.ts';
import { contextText } from '../intel/entries.ts';
import { explainFault, faultPlace } from '../intel/fault.ts';
import type { Where } from '../record.ts';
import { word64 } from '../words.ts';
import type { Fields } from './formats.ts';

export const isVtdEvent = (event: string): boolean => event.startsWith('vtd_');

/** Registers of the model: FRO 0x220, IRO 0xf0, one fault record. */
const registers = registerMap(0x81d2_008c_222f_0686n, 0x0000_8d9a_20f0_0f5en);

const word = (f: Fields, k: string): bigint => (typeof f[k] === 'string' && /^0x/.test(f[k]) ? BigInt(f[k]) : 0n);
const words = (f: Fields): bigint[] => [word(f, 'lo'), word(f, 'hi')];

/** `02:00.00` and `02:00:00` as `02:00.0`. */
export function deviceName(printed: string): string {
  const m = /^([0-9a-f]{2}):([0-9a-f]{2})[:.]0?([0-7])$/i.exec(printed);
  return m ? `${m[1]}:${m[2]}.${m[3]}`.toLowerCase() : printed;
}

/** The register at an offset, and what a value of it says. */
function register(offset: number, value: bigint | null): Record<string, unknown> {
  const r = registers.find((x) => x.offset === offset);
  const upper = r ? undefined : registers.find((x) => x.width === 64 && x.offset === offset - 4);
  if (upper) return { reg: upper.name, half: 'upper' };
  if (!r) return {};
  if (value === null) return { reg: r.name };
  const fields = decode(r.layout, [value]);
  return {
    reg: r.name,
    reg_fields: Object.fromEntries(
      r.layout.fields
        .filter((f) => (fields[f.name] ?? 0n) !== 0n)
        .map((f) => [
          f.name,
          f.format === 'addr' || f.format === 'hex' ? hexPlain(fields[f.name] as bigint) : Number(fields[f.name]),
        ]),
    ),
  };
}

const setBits = (name: string, value: bigint): string[] =>
  (registers.find((r) => r.name === name)?.layout.fields ?? [])
    .filter((f) => f.format === 'flag' && (value >> BigInt(f.lo)) & 1n)
    .map((f) => f.name);

/** Fields as the record has them: devices in the usual form, texts without what the format adds. */
export function vtdFields(event: string, f: Fields): Fields {
  const out: Fields = { ...f };
  if (typeof out.device === 'string') out.device = deviceName(out.device);
  if (typeof out.mode === 'string') out.mode = out.mode.replace(/ mode$/, '');
  if (typeof out.msg === 'string') out.msg = out.msg.trim();
  if (event === 'vtd_ir_remap_type' && typeof out.kind === 'string') out.kind = out.kind.trim();
  return out;
}

/** Facts that are not printed as such. */
export function vtdFacts(event: string, f: Fields): Record<string, unknown> {
  switch (event) {
    case 'vtd_inv_desc': {
      if (f.lo === undefined) return { cut: true };
      const illegal = descriptorFaults(words(f));
      return {
        ...descriptorFacts(words(f)),
        ...(illegal.length > 0 ? { legal: false, illegal } : {}),
        ...descriptorRaw(words(f)),
      };
    }
    case 'vtd_inv_desc_wait_write_fail':
    case 'vtd_inv_desc_invalid':
    case 'vtd_inv_desc_cc_invalid':
    case 'vtd_inv_desc_iotlb_invalid':
    case 'vtd_inv_desc_wait_invalid':
      return descriptorFacts(words(f));
    case 'vtd_replay_ce_valid':
      return f.lo === undefined ? { cut: true } : {};
    case 'vtd_frr_new': {
      const d = decodeFault(words(f));
      const code = Number(d.FR);
      return {
        reason: hexPlain(code),
        condition: faultName(code),
        sid: hexPlain(d.SID as bigint),
        sid_bdf: deviceText(Number(d.SID)),
        access: d.T1 === 1n ? 'read' : 'write',
        pasid: d.PP === 1n ? hexPlain(d.PV as bigint) : null,
        ...(d.FI === undefined ? {} : { addr: hexPlain(d.FI) }),
        raw: words(f).map(word64),
        layout: d.FI === undefined ? 'vtd.frcd.interrupt' : 'vtd.frcd',
      };
    }
    case 'vtd_dmar_fault':
      return {
        sid_bdf: deviceText(Number(f.sid)),
        reason: hexPlain(Number(f.fault)),
        condition: faultName(Number(f.fault)),
        access: Number(f.write) ? 'write' : 'read',
      };
    case 'vtd_reg_read':
      return register(Number(f.addr), null);
    case 'vtd_reg_write':
      return register(Number(f.addr), word(f, 'val'));
    case 'vtd_reg_write_gcmd':
      return { set: setBits('GCMD_REG', word(f, 'val')), status_set: setBits('GSTS_REG', word(f, 'status')) };
    default:
      return typeof f.sid === 'string' ? { sid_bdf: deviceText(Number(f.sid) & 0xffff) } : {};
  }
}

export function vtdPlace(event: string, f: Fields): Where {
  const sid = typeof f.sid === 'string' ? { sid: f.sid } : {};
  if (/^vtd_device_.*hwpt$/.test(event)) return { at: 'kernel.driver' };
  if (event === 'vtd_dmar_fault') return { ...faultPlace(Number(f.fault), undefined), at: 'vmm.viommu', ...sid };
  if (/^vtd_(?:frr|fsts)_/.test(event)) return { at: 'guest.frcd', ...sid };
  return { at: 'vmm.viommu', ...sid };
}

const n = (f: Fields, k: string): string => String(f[k] ?? '?');
const dev = (f: Fields): string =>
  `device ${typeof f.sid === 'string' ? deviceText(Number(f.sid) & 0xffff) : n(f, 'device')}`;
const on = (f: Fields, k: string): string => (Number(f[k]) ? 'on' : 'off');
const done = (f: Fields): string => (Number(f.ret) === 1 ? '' : ', and failed');
const pages = (f: Fields): string => {
  const am = Number(f.mask);
  return am === 0 ? 'one page' : `${am < 53 ? 2 ** am : `2^${am}`} pages`;
};

const texts: Readonly<Record<string, (f: Fields) => string>> = {
  vtd_inv_desc_cc_domain: (f) => `The guest drops cached context entries of its domain ${n(f, 'domain')}`,
  vtd_inv_desc_cc_global: () => 'The guest drops every cached context entry',
  vtd_inv_desc_cc_device: (f) => `The cached context entry of ${dev(f)} is dropped`,
  vtd_inv_desc_cc_devices: (f) =>
    `The guest drops the cached context entries of ${dev(f)} (function mask ${n(f, 'fmask')})`,
  vtd_inv_desc_iotlb_global: () => 'The guest drops every cached translation',
  vtd_inv_desc_iotlb_domain: (f) => `The guest drops every cached translation of its domain ${n(f, 'domain')}`,
  vtd_inv_desc_iotlb_pages: (f) =>
    `The guest drops cached translations of ${pages(f)} from ${n(f, 'addr')} in its domain ${n(f, 'domain')}`,
  vtd_inv_desc_iotlb_pasid_pages: (f) =>
    `The guest drops cached translations of ${pages(f)} from ${n(f, 'addr')} in its domain ${n(f, 'domain')} and PASID ${n(f, 'pasid')}`,
  vtd_inv_desc_iotlb_pasid: (f) =>
    `The guest drops cached translations of its domain ${n(f, 'domain')} and PASID ${n(f, 'pasid')}`,
  vtd_inv_desc_wait_sw: (f) =>
    `QEMU tells the guest that its descriptors are done: it writes ${n(f, 'data')} to ${n(f, 'addr')}`,
  vtd_inv_desc_wait_irq: (f) => `QEMU handles the interrupt of a wait descriptor: ${n(f, 'msg')}`,
  vtd_inv_desc_wait_write_fail: (f) =>
    `QEMU could not write the status of the guest's wait descriptor (low ${n(f, 'lo')}); the queue stops with IQE`,
  vtd_inv_desc_iec: (f) =>
    `The guest drops cached interrupt remapping entries (index ${n(f, 'index')}, mask ${n(f, 'mask')})`,
  vtd_inv_qi_enable: (f) => `The guest switched its invalidation queue ${on(f, 'enable')}`,
  vtd_inv_qi_setup: (f) => `The guest's invalidation queue lies at ${n(f, 'addr')} and has ${n(f, 'size')} descriptors`,
  vtd_inv_qi_head: (f) => `QEMU reads the guest's descriptor ${n(f, 'head')}`,
  vtd_inv_qi_tail: (f) => `The guest has filled its queue up to descriptor ${n(f, 'tail')}`,
  vtd_inv_qi_fetch: () => "QEMU starts to work on the guest's queue",
  vtd_context_cache_reset: () => 'QEMU dropped every cached context entry',
  vtd_pasid_cache_reset: () => 'QEMU dropped every cached PASID entry',
  vtd_inv_desc_pasid_cache_gsi: () => 'The guest says that any PASID entry may have changed',
  vtd_pasid_cache_gsi: () => 'The guest says that any PASID entry may have changed',
  vtd_inv_desc_pasid_cache_dsi: (f) => `The guest says that PASID entries of its domain ${n(f, 'domain')} changed`,
  vtd_pasid_cache_dsi: (f) => `The guest says that PASID entries of its domain ${n(f, 'domain')} changed`,
  vtd_inv_desc_pasid_cache_psi: (f) =>
    `The guest says that the entries of PASID ${n(f, 'pasid')} in its domain ${n(f, 'domain')} changed`,
  vtd_pasid_cache_psi: (f) =>
    `The guest says that the entries of PASID ${n(f, 'pasid')} in its domain ${n(f, 'domain')} changed`,
  vtd_pasid_cache_devsi: (f) => `QEMU looks at the PASID entries of ${dev(f)} again`,
  vtd_re_not_present: (f) => `The guest's root entry of bus ${n(f, 'bus')} is not present`,
  vtd_re_invalid: (f) => `The guest's root entry (low ${n(f, 'lo')}, high ${n(f, 'hi')}) is illegal`,
  vtd_ce_not_present: (f) => `The guest's context entry of bus ${n(f, 'bus')}, devfn ${n(f, 'devfn')} is not present`,
  vtd_ce_invalid: (f) => `The guest's context entry (low ${n(f, 'lo')}, high ${n(f, 'hi')}) is illegal`,
  vtd_iotlb_page_hit: (f) =>
    `The emulated IOTLB held ${n(f, 'iova')} of ${dev(f)} (domain ${n(f, 'domain')}, entry ${n(f, 'pte')})`,
  vtd_iotlb_page_update: (f) =>
    `The emulated IOTLB keeps ${n(f, 'iova')} of ${dev(f)} (domain ${n(f, 'domain')}, entry ${n(f, 'pte')})`,
  vtd_iotlb_cc_hit: (f) =>
    `The context entry of bus ${n(f, 'bus')}, devfn ${n(f, 'devfn')} was cached (low ${n(f, 'lo')})`,
  vtd_iotlb_cc_update: (f) =>
    `QEMU keeps the context entry of bus ${n(f, 'bus')}, devfn ${n(f, 'devfn')} (low ${n(f, 'lo')})`,
  vtd_iotlb_reset: (f) => `The emulated IOTLB was emptied: ${n(f, 'reason')}`,
  vtd_fault_disabled: () => 'A fault was not recorded, since the context entry of the guest silences faults (FPD)',
  vtd_replay_ce_valid: (f) =>
    `QEMU replays the mappings of ${dev(f)} to VFIO (domain ${n(f, 'domain')})${f.lo === undefined ? '' : `: ${contextText([...words(f), 0n, 0n], f.mode === 'scalable')}`}`,
  vtd_replay_ce_invalid: (f) => `QEMU has nothing to replay: the context entry of ${dev(f)} is not valid`,
  vtd_page_walk_level: (f) =>
    `QEMU walks the guest's table at ${n(f, 'base')} (level ${n(f, 'level')}) for ${n(f, 'start')} to ${n(f, 'end')}`,
  vtd_page_walk_one: (f) => `QEMU passes on that ${n(f, 'iova')} maps to ${n(f, 'gpa')} (mask ${n(f, 'mask')})`,
  vtd_page_walk_one_skip_map: (f) => `The mapping of ${n(f, 'iova')} is as it was, so that nothing is passed on`,
  vtd_page_walk_one_skip_unmap: (f) => `${n(f, 'iova')} was not mapped before, so that nothing is passed on`,
  vtd_page_walk_skip_read: (f) => `A table for ${n(f, 'iova')} to ${n(f, 'next')} could not be read`,
  vtd_page_walk_skip_perm: (f) => `Nothing is mapped at ${n(f, 'iova')} to ${n(f, 'next')}`,
  vtd_page_walk_skip_reserve: (f) => `Reserved bits are set in the entry for ${n(f, 'iova')} to ${n(f, 'next')}`,
  vtd_switch_address_space: (f) =>
    `Accesses of ${dev(f)} ${Number(f.on) ? 'go through the guest’s IOMMU' : 'reach guest memory untranslated'} from now on`,
  vtd_as_unmap_whole: (f) => `All mappings of ${dev(f)} are withdrawn (${n(f, 'iova')}, ${n(f, 'size')} bytes)`,
  vtd_translate_pt: (f) => `${n(f, 'iova')} of ${dev(f)} passes untranslated`,
  vtd_pt_enable_fast_path: (f) =>
    `${Number(f.success) ? 'Pass-through of' : 'No pass-through for'} ${dev(f)} without the emulated IOMMU in the way`,
  vtd_irq_generate: (f) => `QEMU raised an interrupt of the unit (address ${n(f, 'addr')}, data ${n(f, 'data')})`,
  vtd_reg_dmar_root: (f) =>
    `The guest's root table lies at ${n(f, 'addr')} (${Number(f.scalable ?? f.extended) ? 'scalable' : 'legacy'} mode)`,
  vtd_reg_ir_root: (f) => `The guest's interrupt remapping table lies at ${n(f, 'addr')} (${n(f, 'size')} entries)`,
  vtd_reg_write_fectl: (f) => `The guest wrote ${n(f, 'val')} to FECTL_REG`,
  vtd_reg_write_iectl: (f) => `The guest wrote ${n(f, 'val')} to IECTL_REG`,
  vtd_reg_ics_clear_ip: () => 'The guest acknowledged a completion, and the pending interrupt is dropped',
  vtd_dmar_translate: (f) =>
    `${n(f, 'iova')} of ${dev(f)} translates to guest address ${n(f, 'gpa')} (mask ${n(f, 'mask')})`,
  vtd_dmar_enable: (f) => `The guest switched DMA remapping ${on(f, 'enable')}`,
  vtd_ir_enable: (f) => `The guest switched interrupt remapping ${on(f, 'enable')}`,
  vtd_ir_irte_get: (f) => `QEMU read interrupt remapping entry ${n(f, 'index')}`,
  vtd_ir_remap: (f) =>
    `Interrupt index ${n(f, 'index')} goes to vector 0x${Number(f.vector).toString(16)} of ${n(f, 'dest')}`,
  vtd_ir_remap_type: (f) => `An interrupt is handled: ${n(f, 'kind')}`,
  vtd_ir_remap_msi: (f) =>
    `The message ${n(f, 'data')} to ${n(f, 'addr')} becomes ${n(f, 'new_data')} to ${n(f, 'new_addr')}`,
  vtd_ir_remap_msi_req: (f) => `A device sent the message ${n(f, 'data')} to ${n(f, 'addr')}`,
  vtd_fsts_ppf: (f) => `FSTS says that ${Number(f.set) ? 'a fault record is waiting' : 'no fault record is waiting'}`,
  vtd_fsts_clear_ip: () => 'The guest has handled all faults, and the pending interrupt is dropped',
  vtd_err: (f) => `QEMU says of its VT-d model: ${n(f, 'msg')}`,
  vtd_err_dmar_iova_overflow: (f) => `${n(f, 'iova')} is wider than the guest's tables can translate`,
  vtd_err_dmar_slpte_read_error: (f) =>
    `The guest's level-${n(f, 'level')} entry for ${n(f, 'iova')} could not be read`,
  vtd_err_dmar_slpte_perm_error: (f) =>
    `The guest's level-${n(f, 'level')} entry ${n(f, 'slpte')} for ${n(f, 'iova')} maps nothing, or does not allow ${Number(f.write) ? 'writing' : 'reading'}`,
  vtd_err_dmar_slpte_resv_error: (f) =>
    `Reserved bits of the guest's level-${n(f, 'level')} entry ${n(f, 'slpte')} for ${n(f, 'iova')} are set`,
  vtd_err_dmar_translate: (f) => `QEMU could not translate ${n(f, 'iova')} of ${dev(f)}`,
  vtd_warn_invalid_qi_tail: (f) => `The guest wrote a tail that is not in its queue (${n(f, 'tail')})`,
  vtd_warn_ir_vector: (f) =>
    `The vector of an interrupt of ${dev(f)} (${n(f, 'vector')}) is not that of its remapping entry (${n(f, 'target')})`,
  vtd_warn_ir_trigger: (f) =>
    `The trigger mode of an interrupt of ${dev(f)} (${n(f, 'trigger')}) is not that of its remapping entry (${n(f, 'target')})`,
  vtd_reset_exit: () => 'The emulated unit was reset',
  vtd_device_attach_hwpt: (f) =>
    `QEMU attached PASID ${n(f, 'pasid')} of iommufd device ${n(f, 'dev_id')} to HWPT ${n(f, 'hwpt_id')}${done(f)}`,
  vtd_device_detach_hwpt: (f) => `QEMU detached PASID ${n(f, 'pasid')} of iommufd device ${n(f, 'dev_id')}${done(f)}`,
  vtd_device_reattach_def_hwpt: (f) =>
    `QEMU attached PASID ${n(f, 'pasid')} of iommufd device ${n(f, 'dev_id')} to the second stage alone (HWPT ${n(f, 'hwpt_id')})${done(f)}`,
};

/** One sentence for an event. */
export function explainVtd(event: string, f: Fields, facts: Record<string, unknown>): string {
  if (event === 'vtd_inv_desc')
    return f.lo === undefined
      ? `QEMU took a descriptor from the guest's queue (${n(f, 'desc')}); its low word is not in the text.`
      : `The guest's descriptor ${descriptorMeaning(words(f))}${Array.isArray(facts.illegal) ? `; QEMU refuses it: ${facts.illegal.join('; ')}` : ''}.`;
  if (event === 'vtd_frr_new')
    return `QEMU wrote fault record ${n(f, 'index')} of the guest: ${faultSummary(words(f))}.`;
  if (event === 'vtd_dmar_fault')
    return `${explainFault({
      access: Number(f.write) ? 'write' : 'read',
      device: deviceText(Number(f.sid) & 0xffff),
      address: word(f, 'addr'),
      reason: Number(f.fault),
    }).replace(/\.$/, '')}; QEMU tells the guest.`;
  if (event === 'vtd_reg_read' || event === 'vtd_reg_write') {
    const half = facts.half === 'upper' ? ' (upper half)' : '';
    const reg = facts.reg ? `${facts.reg}${half}` : `the register at ${n(f, 'addr')}`;
    return event === 'vtd_reg_read' ? `The guest read ${reg}.` : `The guest wrote ${n(f, 'val')} to ${reg}.`;
  }
  if (event === 'vtd_reg_write_gcmd') {
    const set = Array.isArray(facts.set) && facts.set.length > 0 ? facts.set.join(', ') : 'nothing';
    return `The guest wrote ${n(f, 'val')} to GCMD_REG (${set}).`;
  }
  if (/^vtd_inv_desc_.*invalid$/.test(event))
    return `QEMU refuses a descriptor of the guest that ${descriptorMeaning(words(f))}; the queue stops with IQE.`;
  const text = texts[event];
  return text ? `${text(f)}.` : `QEMU's trace event ${event}.`;
}
