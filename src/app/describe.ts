import { hex } from '../engine/bits/index.ts';
import type { Step } from '../store/index.ts';

type Values = Readonly<Record<string, unknown>>;

/** An address as a title shows it; a `$name` stays as it stands. */
function address(v: unknown): string {
  if (typeof v === 'number') return hex(v);
  const text = String(v).replaceAll('_', '');
  return /^(?:0x[0-9a-f]{1,16}|[0-9]{1,20})$/i.test(text) ? hex(BigInt(text)) : String(v);
}

const withPasid = (s: Values): string => (s['pasid'] === undefined ? '' : ` PASID ${String(s['pasid'])}`);

/** The title of a step in the list: what is done, with the values that tell it from its neighbours. */
export function stepTitle(step: Step | null): string {
  if (!step) return 'Setup';
  const s = step as unknown as Values;
  const place = [s['guest'], s['unit']].filter((x) => x !== undefined).join(' ');
  return place === '' ? titleOf(step, s) : `${titleOf(step, s)} (${place})`;
}

function titleOf(step: Step, s: Values): string {
  const device = `${String(s['device'])}${withPasid(s)}`;
  switch (step.do) {
    case 'guest.attach':
      return s['domain'] === 'bypass' || s['domain'] === 'blocked'
        ? `Set ${device} to ${s['domain']}`
        : `Attach ${device} to ${String(s['domain'])}`;
    case 'guest.detach':
      return `Detach ${device}`;
    case 'guest.map':
      return `Map ${address(s['iova'])} → ${address(s['gpa'])}`;
    case 'guest.unmap':
      return `Unmap ${address(s['iova'])}`;
    case 'guest.bind':
      return `Bind ${device} to process ${String(s['process'])}`;
    case 'guest.unbind':
      return `Unbind ${device} from process ${String(s['process'])}`;
    case 'guest.exit':
      return `Process ${String(s['process'])} exits`;
    case 'guest.flush':
      return 'Flush the queued unmaps';
    case 'guest.invalidate': {
      const c = s['command'] as Values | undefined;
      return c ? `Send ${String(c['name'])}` : 'Send a raw command';
    }
    case 'guest.boot':
      return 'Boot the guest';
    case 'device.dma':
      return `${device} ${s['access'] === 'write' ? 'writes' : 'reads'} ${address(s['iova'])}`;
    case 'device.ats':
      return `${device} asks for ${address(s['iova'])}`;
    case 'device.pri':
      return `${device} requests page ${address(s['iova'])}`;
    case 'device.reset':
      return `Reset ${device}`;
    case 'vmm.start':
      return 'Start the VMM';
    case 'vmm.queue':
      return 'Give the guest a hardware queue';
    case 'vmm.plug':
      return `Plug ${device}`;
    case 'vmm.unplug':
      return `Unplug ${device}`;
    case 'vmm.map':
      return `Map ${address(s['gpa'])} in stage 2`;
    case 'vmm.unmap':
      return `Unmap ${address(s['gpa'])} in stage 2`;
    case 'ioctl':
      return String(s['call']);
    case 'memory.write':
    case 'memory.read':
      return `${step.do === 'memory.write' ? 'Write' : 'Read'} ${String(s['space'])} memory at ${address(s['at'])}`;
    case 'register.write':
      return `Write ${String(s['reg'])} = ${address(s['value'])}`;
    case 'register.read':
      return `Read ${String(s['reg'])}`;
    case 'fd.open':
      return s['device'] === undefined ? 'Open /dev/iommu' : `Open the file of ${device}`;
    case 'fd.close':
      return `Close fd ${String(s['fd'])}`;
    case 'fd.read':
    case 'fd.write':
      return `${step.do === 'fd.read' ? 'Read from' : 'Write to'} fd ${String(s['fd'])}`;
    case 'fd.mmap':
      return `Map fd ${String(s['fd'])}`;
    case 'fd.munmap':
      return `Unmap area ${address(s['area'])}`;
    case 'inject':
      return `Inject: ${String(s['action'])} at ${String(s['at'])}`;
    default:
      return String(s['do']);
  }
}
