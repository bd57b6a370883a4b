import type { LogReader } from '../reader.ts';
import { IntelSession } from './session.ts';

/** Messages of the VT-d drivers of Linux and Xen, and files of debugfs. */
export const intelReader: LogReader = { name: 'intel', start: (sink) => new IntelSession(sink) };
