/** Queue and global errors as facts and one sentence each. */

import { hexPlain } from '../../engine/bits/index.ts';
import { commandName, commandText } from '../../engine/smmuv3/layout/index.ts';
import { word64 } from '../words.ts';
import type { PriDetail } from './messages.ts';

/** GERROR bits; Linux reports those of the mask 0x1fd. */
const gerrorBits: readonly (readonly [number, string, string])[] = [
  [0, 'CMDQ_ERR', 'the command queue stopped at a command that it could not execute'],
  [2, 'EVENTQ_ABT_ERR', 'a write to the event queue was aborted, so events may be lost'],
  [3, 'PRIQ_ABT_ERR', 'a write to the PRI queue was aborted, so page requests may be lost'],
  [4, 'MSI_CMDQ_ABT_ERR', 'the completion message of a CMD_SYNC was aborted'],
  [5, 'MSI_EVENTQ_ABT_ERR', 'the interrupt message of the event queue was aborted'],
  [6, 'MSI_PRIQ_ABT_ERR', 'the interrupt message of the PRI queue was aborted'],
  [7, 'MSI_GERROR_ABT_ERR', 'the interrupt message of a global error was aborted'],
  [8, 'SFM_ERR', 'the SMMU entered service failure mode and stopped all traffic'],
  [9, 'CMDQP_ERR', 'an enhanced command queue reports an error'],
  [10, 'DPT_ERR', 'a lookup of the device permission table failed'],
];

/** Names of the active bits of a GERROR value, low bit first. */
export const gerrorNames = (value: bigint): string[] =>
  gerrorBits.filter(([bit]) => (value >> BigInt(bit)) & 1n).map(([, name]) => name);

/** One sentence for active GERROR bits. */
export function explainGerror(names: readonly string[]): string {
  const texts = names.map((n) => gerrorBits.find(([, name]) => name === n)?.[2] ?? n);
  if (texts.length === 0) return 'The SMMU reported a global error without any bit that the architecture defines.';
  return `The SMMU reported ${texts.length === 1 ? 'a global error' : `${texts.length} global errors`} (${names.join(', ')}): ${texts.join('; ')}.`;
}

/** Scene object of a global error. */
export const gerrorPlace = (names: readonly string[]): string =>
  names.some((n) => n === 'CMDQ_ERR' || n === 'MSI_CMDQ_ABT_ERR')
    ? 'hw.cmdq'
    : names.some((n) => n.includes('EVENTQ'))
      ? 'hw.evtq'
      : 'hw.smmu';

const cerrorNames = ['CERROR_NONE', 'CERROR_ILL', 'CERROR_ABT', 'CERROR_ATC_INV_SYNC'];

/** Facts of CMDQ_CONS: `err` is bits 30:24, `rd` the index with wrap bit. */
export function consFields(cons: bigint): { cons: string; err: number; err_name: string; rd: string } {
  const err = Number((cons >> 24n) & 0x7fn);
  return {
    cons: hexPlain(cons),
    err,
    err_name: cerrorNames[err] ?? `CERROR_0x${err.toString(16)}`,
    rd: hexPlain(cons & 0xfffffn),
  };
}

/** One sentence for a command queue error; `command` is the command that the driver dumped, if it did. */
export function explainCmdqError(cons: bigint, command?: readonly bigint[]): string {
  const { err, rd } = consFields(cons);
  const at = `The command queue stopped at position ${rd}`;
  switch (err) {
    case 0:
      return `The driver was called for a command queue error, but CMDQ_CONS (position ${rd}) holds no error code.`;
    case 1:
      return command
        ? `${at} with CERROR_ILL: the SMMU calls ${commandText(command).text} illegal; the driver replaces it with a CMD_SYNC and goes on.`
        : `${at} with CERROR_ILL: a command has a reserved opcode or a parameter that this SMMU does not allow; the driver replaces it with a CMD_SYNC and goes on.`;
    case 2:
      return `${at} with CERROR_ABT: reading the command from memory was aborted; the driver lets the SMMU try again.`;
    case 3:
      return `${at} with CERROR_ATC_INV_SYNC: before this CMD_SYNC a device did not complete an ATC_INV in time, so its translations may be stale; usually the device is gone, in reset or hung while ATS is on.`;
    default:
      return `${at} with error code ${err}, which the architecture does not define${command ? ` (command ${commandText(command).text})` : ''}.`;
  }
}

/** Facts of a raw command. */
export function commandFields(words: readonly bigint[]): Record<string, unknown> {
  const t = commandText(words);
  return {
    command: t.name.startsWith('0x') ? null : `CMD_${t.name}`,
    opcode: hexPlain((words[0] ?? 0n) & 0xffn),
    raw: words.map(word64),
    text: t.text,
    layout: t.layout,
  };
}

const purposes: Readonly<Record<string, string>> = {
  PREFETCH: 'asks the SMMU to load configuration ahead of use',
  CFGI: 'removes cached configuration; translations stay cached',
  TLBI_S2: 'removes stage-2 translations; combined stage-1 and stage-2 entries may stay',
  TLBI: 'removes cached translations',
  ATC: 'asks the device to drop translations from its own cache',
  PRI: 'answers a page request of the device',
  RESUME: 'answers a stalled transaction',
  STALL: 'ends all stalled transactions of a stream',
  SYNC: 'completes when every command before it has completed',
  DPTI: 'removes cached device permissions',
};

/** One sentence for a raw command. */
export function explainCommand(words: readonly bigint[]): string {
  const t = commandText(words);
  const name = commandName(words);
  if (name.startsWith('0x')) return `No command has opcode ${name}: the SMMU stops the queue with CERROR_ILL.`;
  const key = Object.keys(purposes).find((k) => name.startsWith(k));
  return `CMD_${t.text}: ${key ? purposes[key] : 'a command of the command queue'}.`;
}

/** One sentence for a CMD_SYNC that did not complete. */
export function explainSyncTimeout(at: bigint | null, hwprod: bigint | null, hwcons: bigint | null): string {
  const where = at === null ? 'A CMD_SYNC' : `The CMD_SYNC before queue position ${hexPlain(at)}`;
  const base = `${where} did not complete within the driver's time limit`;
  if (hwcons === null)
    return `${base}, so an invalidation may not have taken effect; usually the SMMU stopped on an error or a device does not answer ATC_INV.`;
  const err = Number((hwcons >> 24n) & 0x7fn);
  if (err !== 0)
    return `${base}: the SMMU stopped at ${hexPlain(hwcons & 0xfffffn)} with ${cerrorNames[err] ?? `error code ${err}`}.`;
  if (hwprod !== null && (hwcons & 0xfffffn) === (hwprod & 0xfffffn))
    return `${base} although the SMMU has consumed every command (${hexPlain(hwcons)}); usually the completion message was lost or a device does not answer ATC_INV.`;
  return `${base}: the SMMU has consumed up to ${hexPlain(hwcons)}${hwprod === null ? '' : ` of ${hexPlain(hwprod)}`}; usually the SMMU is stuck, without clock or power, or waits for a device that does not answer ATC_INV.`;
}

/** Facts and sentence of a page request that the driver did not expect. */
export function priFields(p: PriDetail): Record<string, unknown> {
  return {
    sid: hexPlain(p.sid),
    ssid: hexPlain(p.ssid),
    group: p.group,
    last: p.last,
    privileged: p.privileged,
    permissions: p.permissions,
    iova: p.iova === null ? null : hexPlain(p.iova),
  };
}

export function explainPri(p: PriDetail | null): string {
  if (!p) return 'A device sent a page request that the driver did not expect; its details are not in the text.';
  return `StreamID ${hexPlain(p.sid)}${p.ssid === 0n ? '' : ` with PASID ${hexPlain(p.ssid)}`} sent a page request for ${p.iova === null ? 'an address' : hexPlain(p.iova)} (group ${p.group}) that the driver did not expect${p.last ? ', and was answered with Response Failure' : ''}; usually PRI is enabled in the device although nobody handles its page faults.`;
}
