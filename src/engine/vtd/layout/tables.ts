/** Root, context, PASID directory and PASID table entries. Source: Intel VT-d specification, 9.1 to 9.6. */

import type { Layout } from '../../bits/index.ts';
import { addrBits, decBits, enumBits, flag, hexBits } from '../../bits/index.ts';

type Get = (name: string) => bigint;

const present = (get: Get): boolean => get('P') === 1n;
const pgtt = (get: Get): bigint => get('PGTT');
/** PGTT 1 and 3: the first stage translates. */
const firstStage = (get: Get): boolean => present(get) && (pgtt(get) === 1n || pgtt(get) === 3n);
/** PGTT 2 and 3: the second stage translates. */
const secondStage = (get: Get): boolean => present(get) && (pgtt(get) === 2n || pgtt(get) === 3n);

const fpd = (what: string) => flag('FPD', 0, 1, what);
const SUPPRESS = 'Qualified faults are not recorded; counts also while P is 0.';
const widths = ['reserved', '39 bits, 3 levels', '48 bits, 4 levels', '57 bits, 5 levels', '', '', '', ''];
const translationTypes = ['none', 'first stage', 'second stage', 'nested', 'pass-through', '', '', ''];

export const rootLayout: Layout = {
  id: 'vtd.root',
  name: 'root entry',
  title: 'Root entry, scalable mode: one bus',
  words: 2,
  source: 'Intel VT-d, 9.2',
  fields: [
    flag('LP', 0, 0, 'Devices 0 to 15 of the bus have a context table; without it SRT.2.'),
    addrBits('LCTP', 0, 63, 12, 'Physical address of the context table of devices 0 to 15.', (get) => get('LP') === 1n),
    flag('UP', 1, 0, 'Devices 16 to 31 of the bus have a context table; without it SRT.2.'),
    addrBits(
      'UCTP',
      1,
      63,
      12,
      'Physical address of the context table of devices 16 to 31.',
      (get) => get('UP') === 1n,
    ),
  ],
};

export const rootLegacyLayout: Layout = {
  id: 'vtd.root.legacy',
  name: 'root entry',
  title: 'Root entry, legacy mode: one bus',
  words: 2,
  source: 'Intel VT-d, 9.1',
  fields: [
    flag('P', 0, 0, 'The bus has a context table; without it LRT.2.'),
    addrBits('CTP', 0, 63, 12, 'Physical address of the context table of the bus.', present),
  ],
};

export const contextLayout: Layout = {
  id: 'vtd.context',
  name: 'context entry',
  title: 'Context entry, scalable mode: one device',
  words: 4,
  source: 'Intel VT-d, 9.4',
  fields: [
    flag('P', 0, 0, 'Without it every request of the device is blocked (SCT.2).'),
    fpd(SUPPRESS),
    flag('DTE', 0, 2, 'The device may send translation requests and translated requests (ATS).', present),
    flag('PASIDE', 0, 3, 'Requests with a PASID are allowed.', present),
    flag('PRE', 0, 4, 'Page requests are allowed.', present),
    decBits('PDTS', 0, 11, 9, 'The PASID directory has 2^(PDTS+7) entries, for 2^(PDTS+13) PASIDs.', present),
    addrBits('PASIDDIRPTR', 0, 63, 12, 'Physical address of the PASID directory.', present),
    hexBits('RID_PASID', 1, 19, 0, 'PASID of requests that carry none; taken as 0 without ECAP.RPS.', present),
    flag('RID_PRIV', 1, 20, 'Requests without PASID count as supervisor requests; needs ECAP.RPRIVS.', present),
  ],
};

export const contextLegacyLayout: Layout = {
  id: 'vtd.context.legacy',
  name: 'context entry',
  title: 'Context entry, legacy mode: one device',
  words: 2,
  source: 'Intel VT-d, 9.3',
  fields: [
    flag('P', 0, 0, 'Without it every request of the device is blocked (LCT.2).'),
    fpd(SUPPRESS),
    enumBits(
      'TT',
      0,
      3,
      2,
      'How requests of the device are translated.',
      ['second stage, no ATS', 'second stage, ATS allowed', 'pass-through', 'reserved'],
      present,
    ),
    addrBits(
      'SSPTPTR',
      0,
      63,
      12,
      'Physical address of the first second-stage table.',
      (get) => present(get) && get('TT') !== 2n,
    ),
    enumBits('AW', 1, 2, 0, 'Width of input addresses of the second stage.', widths, present),
    hexBits('IGN', 1, 6, 3, 'Left to software.'),
    decBits('DID', 1, 23, 8, 'Domain id: tags what is cached for the device.', present),
  ],
};

export const pasidDirLayout: Layout = {
  id: 'vtd.pasiddir',
  name: 'PASID directory entry',
  title: 'PASID directory entry: 64 PASIDs',
  words: 1,
  source: 'Intel VT-d, 9.5',
  fields: [
    flag('P', 0, 0, 'The 64 PASIDs have a table; without it SPD.2.'),
    fpd('Qualified faults of the 64 PASIDs are not recorded; counts also while P is 0.'),
    addrBits('SMPTBLPTR', 0, 63, 12, 'Physical address of the table of 64 PASID entries.', present),
  ],
};

export const pasidLayout: Layout = {
  id: 'vtd.pasid',
  name: 'PASID entry',
  title: 'PASID table entry: how requests of one device and PASID are translated',
  words: 8,
  source: 'Intel VT-d, 9.6',
  fields: [
    flag('P', 0, 0, 'Without it every request of the PASID is blocked (SPT.2).'),
    fpd(SUPPRESS),
    enumBits('AW', 0, 4, 2, 'Width of input addresses of the second stage.', widths, secondStage),
    flag('SSEE', 0, 5, 'Execute permissions of the second stage count; reserved in revision 5.10.', secondStage),
    enumBits('PGTT', 0, 8, 6, 'Which stages translate.', translationTypes, present),
    flag('SSADE', 0, 9, 'Hardware sets A and D in second-stage entries; needs ECAP.SSADS.', secondStage),
    addrBits('SSPTPTR', 0, 63, 12, 'Physical address of the first second-stage table.', secondStage),

    decBits('DID', 1, 15, 0, 'Domain id: tags what is cached for this entry.', present),
    flag(
      'PWSNP',
      1,
      23,
      'Reads and updates of paging entries snoop the caches of the CPUs; needs ECAP.SMPWCS.',
      present,
    ),
    flag('PGSNP', 1, 24, 'The access itself always snoops the caches of the CPUs; needs ECAP.SC.', present),
    flag('CD', 1, 25, 'Caches are bypassed.', firstStage),
    flag('EMTE', 1, 26, 'Memory types of second-stage entries count.', secondStage),
    enumBits(
      'EMT',
      1,
      29,
      27,
      'Memory type of the access where nothing else gives one; reserved in revision 5.10.',
      ['uncacheable', 'write-combining', '', '', 'write-through', 'write-protected', 'write-back', ''],
      present,
    ),
    flag('PWT', 1, 30, 'Write-through for reads of the first table; reserved in revision 5.10.', firstStage),
    flag('PCD', 1, 31, 'Cache disable for reads of the first table; reserved in revision 5.10.', firstStage),
    hexBits('PAT', 1, 63, 32, 'Memory types that PAT, PCD and PWT of first-stage entries select.', firstStage),

    flag('SRE', 2, 0, 'Supervisor requests are allowed; needs ECAP.SRS.', firstStage),
    flag('ERE', 2, 1, 'Execute requests are allowed; needs ECAP.ERS, reserved in revision 5.10.', firstStage),
    enumBits('FSPM', 2, 3, 2, 'Levels of the first stage.', ['4 levels', '5 levels', '', ''], firstStage),
    flag('WPE', 2, 4, 'Supervisor writes need R/W too.', firstStage),
    flag('NXE', 2, 5, 'XD of first-stage entries counts; ignored in revision 5.10.', firstStage),
    flag('SMEP', 2, 6, 'Supervisor requests may not execute user pages; ignored in revision 5.10.', firstStage),
    flag('EAFE', 2, 7, 'Hardware sets EA in first-stage entries; needs ECAP.EAFS.', firstStage),
    addrBits(
      'FSPTPTR',
      2,
      63,
      12,
      'First table of the first stage: a guest physical address if nested, else a physical address.',
      firstStage,
    ),
  ],
};
