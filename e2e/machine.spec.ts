import { drop, expect, idle, press, steps, test, visit } from './app.ts';

const unmapped = {
  format: 'iommuscope/1',
  title: 'An unmap',
  platform: { iommu: 'smmuv3', memory: '2GiB' },
  devices: [{ name: 'nic0', rid: '0000:01:00.0' }],
  steps: [
    { do: 'guest.attach', device: 'nic0', domain: 'dma0' },
    { do: 'guest.map', domain: 'dma0', iova: '0x10000', gpa: '0x40200000', size: '4KiB' },
    { do: 'device.dma', device: 'nic0', iova: '0x10000' },
    { do: 'guest.unmap', domain: 'dma0', iova: '0x10000', size: '4KiB' },
  ],
};

test('a rule is broken and mended from the page, and the hazard comes and goes', async ({ app }) => {
  await visit(app);
  await drop(app, 'unmap.json', JSON.stringify(unmapped));
  await press(app, 'End');
  await expect(app.getByRole('region', { name: 'Hazards' })).toHaveCount(0);
  await app.getByRole('tab', { name: 'Machine' }).click();
  await idle(app);
  await app.getByRole('searchbox', { name: 'Find a rule' }).fill('no TLBI iotlb');
  await app.getByRole('checkbox', { name: /^guest\.no-tlbi/ }).click();
  await idle(app);
  await expect(app.getByRole('button', { name: '1 rule broken' })).toBeVisible();
  await expect(app.getByRole('region', { name: 'Hazards' })).toContainText('The IOTLB still maps VA 0x1_0000');
  await app.getByRole('button', { name: 'Mend the one that is broken' }).click();
  await idle(app);
  await expect(app.getByRole('region', { name: 'Hazards' })).toHaveCount(0);
  await app.getByRole('tab', { name: 'Steps' }).click();
  await expect(steps(app)).toHaveCount(5);
});

test('a feature is switched, and what cannot be is refused with its place', async ({ app }) => {
  await visit(app);
  await drop(app, 'unmap.json', JSON.stringify(unmapped));
  await press(app, 'End');
  await app.getByRole('tab', { name: 'Machine' }).click();
  await idle(app);
  await app.getByRole('checkbox', { name: 'RIL', exact: true }).click();
  await idle(app);
  await expect(app.getByText('edited')).toBeVisible();
  const oas = app.getByRole('textbox', { name: 'OAS' });
  await oas.fill('33');
  await oas.press('Enter');
  await idle(app);
  await expect(app.getByRole('alert')).toContainText('OAS');
  await expect(oas).toHaveValue('48');
});
