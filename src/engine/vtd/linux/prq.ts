import { decode } from '../../bits/index.ts';
import type { PageRequest } from '../../iommufd/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import { prqLayout } from '../layout/index.ts';
import { pageGroupResponse } from './descriptors.ts';
import { discardPartial, reportFault } from './iopf.ts';
import { type IntelIommu, type Kernel, log, tracepoint } from './kernel.ts';
import { readRegister, writeRegister } from './mmio.ts';
import { submitOne } from './queue.ts';

/** The page request queue's thread (prq.c prq_event_thread). */

/** 64 KiB: 2048 entries of 32 bytes. */
export const PRQ_BYTES = 0x10000;
/** PQS in PQA_REG. */
export const PRQ_ORDER = 4;
export const PRQ_ENTRY = 32;
/** PRQ_RING_MASK */
export const PRQ_MASK = 0xffe0;

const PRS = { ppr: 1, pro: 2 };
const PERM = { read: 1, write: 2, exec: 4, priv: 8 };
/** Width of the CPU's addresses: with 48 bits, 63:47 are equal. */
const CPU_ADDRESS_BITS = 48;

type Fields = Readonly<Record<string, bigint>>;

/** Takes what is in the queue, reports or answers each, and frees the slots; then an overflow is dealt with. */
export function* handlePageRequests(k: Kernel, unit: number): Op<void> {
  const u = k.units[unit]!;
  const { prq } = k.state.units[unit]!;
  u.port.irq.prq = false;
  if (!prq) return;
  // Cleared before the pointers are read, so that what comes later raises a new interrupt.
  yield* writeRegister(k, u, 'PRS_REG', PRS.ppr);
  const tail = Number(yield* readRegister(k, u, 'PQT_REG')) & PRQ_MASK;
  let head = Number(yield* readRegister(k, u, 'PQH_REG')) & PRQ_MASK;
  for (; head !== tail; head = (head + PRQ_ENTRY) & PRQ_MASK) {
    const words = [0, 8, 16, 24].map((o) => k.bus.readWord(prq + head + o));
    yield* handleOne(k, u, words);
    yield pause(k.actor, 'page.request');
  }
  yield* writeRegister(k, u, 'PQH_REG', tail);
  if (!(Number(yield* readRegister(k, u, 'PRS_REG')) & PRS.pro)) return;
  log(k, u.ids.prq, `IOMMU: ${u.name}: PRQ overflow detected`);
  head = Number(yield* readRegister(k, u, 'PQH_REG')) & PRQ_MASK;
  if (head !== (Number(yield* readRegister(k, u, 'PQT_REG')) & PRQ_MASK)) return;
  discardPartial(k, unit);
  yield* writeRegister(k, u, 'PRS_REG', PRS.pro);
  log(k, u.ids.prq, `IOMMU: ${u.name}: PRQ overflow cleared`);
}

function canonical(address: bigint): boolean {
  const top = address >> BigInt(CPU_ADDRESS_BITS - 1);
  return top === 0n || top === (1n << BigInt(64 - CPU_ADDRESS_BITS + 1)) - 1n;
}

function* handleOne(k: Kernel, u: IntelIommu, words: readonly bigint[]): Op<void> {
  const f = decode(prqLayout, words);
  const is = (name: string): boolean => f[name] === 1n;
  const refuse = (text: string): Op<void> => {
    log(k, u.ids.prq, `IOMMU: ${u.name}: ${text}`);
    return badRequest(k, u, f, words);
  };
  if (!canonical(f['ADDR']!)) return yield* refuse('Address is not canonical');
  if (is('PRIV') && (is('RD') || is('WR'))) return yield* refuse('Page request in Privilege Mode');
  if (is('EXE') && is('RD')) return yield* refuse('Execution request not supported');
  // A stop marker: the device has given the group up.
  if (is('LPIG') && !is('RD') && !is('WR')) return;
  const sid = Number(f['RID']);
  const device = k.state.devices.find((d) => d.unit === u.index && d.sid === sid && d.atsSupported);
  if (!device) return yield* badRequest(k, u, f, words);
  yield* reportFault(k, device, requestOf(f));
  const sequence = k.state.units[u.index]!.prqSequence++;
  tracepoint(k, u.ids.prq, 'prq_report', `${u.name}/${device.name} seq# ${sequence}: ${decoded(f, words)}`);
}

const requestOf = (f: Fields): PageRequest => ({
  pasid: f['PP'] ? Number(f['PASID']) : null,
  group: Number(f['PRGI']),
  perm:
    (f['RD'] ? PERM.read : 0) | (f['WR'] ? PERM.write : 0) | (f['EXE'] ? PERM.exec : 0) | (f['PRIV'] ? PERM.priv : 0),
  address: f['ADDR']!,
  last: f['LPIG'] === 1n,
});

/** iommu.h decode_prq_descriptor: the address is shown as a page number. */
function decoded(f: Fields, words: readonly bigint[]): string {
  const hex = (v: bigint): string => `0x${v.toString(16)}`;
  const letter = (name: string, c: string): string => (f[name] ? c : '-');
  const flags = [
    letter('RD', 'r'),
    letter('WR', 'w'),
    letter('EXE', 'x'),
    letter('PRIV', 'p'),
    letter('LPIG', 'l'),
  ].join('');
  const text = `rid=${hex(f['RID']!)} addr=${hex(f['ADDR']! >> 12n)} ${flags} pasid=${hex(f['PASID']!)} index=${hex(f['PRGI']!)}`;
  return (words[0]! >> 9n) & 1n ? `${text} private=${hex(words[2]!)}/${hex(words[3]!)}\n` : text;
}

/** handle_bad_prq_event */
function* badRequest(k: Kernel, u: IntelIommu, f: Fields, words: readonly bigint[]): Op<void> {
  const hex8 = (w: bigint): string => w.toString(16).padStart(8, '0');
  log(k, u.ids.prq, `${u.name}: Invalid page request: ${hex8(words[0]!)} ${hex8(words[1]!)}`);
  if (!k.rules.answersBad(f['LPIG'] === 1n)) return;
  const response = pageGroupResponse(
    Number(f['RID']),
    f['PP'] ? Number(f['PASID']) : null,
    Number(f['PRGI']),
    k.rules.responseCode('invalid'),
  );
  // The PASID field is copied whether or not it counts.
  response[0] = response[0]! | (f['PASID']! << 32n);
  yield* submitOne(k, u, response);
}
