import type { AppStore, Doc } from '../../store/index.ts';

/** An empty document on the kind of machine that is open: one device, booted, nothing done yet. */
export function newDocument(app: AppStore): void {
  const iommu = app.store.getState().document?.platform.iommu ?? 'smmuv3';
  const document: Doc = {
    format: 'iommuscope/1',
    title: 'Untitled',
    platform: { iommu },
    devices: [{ name: 'nic0', rid: '0000:01:00.0', vrid: '0000:00:01.0' }],
    setup: 'booted',
    steps: [],
  };
  if (app.openDocument(document, null)) app.setSettings({ panel: 'operations' });
}
