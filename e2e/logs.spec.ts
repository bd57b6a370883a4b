import { drop, expect, idle, test, visit } from './app.ts';

const log = `[ 6542.670620] nvme nvme0: I/O timeout
[ 6542.670624] arm-smmu-v3 arm-smmu-v3.2.auto: event 0x10 received:
[ 6542.670630] arm-smmu-v3 arm-smmu-v3.2.auto: 0x00007d1200000010
[ 6542.670631] arm-smmu-v3 arm-smmu-v3.2.auto: 0x000012000000007c
[ 6542.670633] arm-smmu-v3 arm-smmu-v3.2.auto: 0x00000000fffef040
[ 6542.670634] arm-smmu-v3 arm-smmu-v3.2.auto: 0x00000000fffef000
`;

test('a pasted log is decoded, and shown where it arises', async ({ app }) => {
  await visit(app);
  await app.getByRole('button', { name: 'Paste a log' }).click();
  const dialog = app.getByRole('dialog', { name: 'Read a log' });
  await dialog.getByRole('textbox').fill(log);
  await expect(dialog.getByRole('heading', { name: 'F_TRANSLATION' })).toBeVisible();
  await expect(dialog.getByText('0x7d12').first()).toBeVisible();
  await expect(dialog.getByText(/write to 0xfffef040/)).toBeVisible();
  await expect(dialog.getByText('Line 1')).toBeVisible();
  await expect(dialog.getByText('32 bytes')).toBeVisible();
  await dialog.getByRole('button', { name: 'Show on the diagram' }).click();
  await idle(app);
  await expect(dialog).toHaveCount(0);
  const inspector = app.getByRole('complementary', { name: 'Inspector' });
  await expect(inspector.getByText(/^Selected/)).toBeVisible();
  await expect(inspector.getByText('It does not exist')).toHaveCount(0);
});

test('a dropped log opens the reader; what is pasted outside a field too', async ({ app }) => {
  await visit(app);
  await drop(app, 'dmesg.txt', log);
  const dialog = app.getByRole('dialog', { name: 'Read a log' });
  await expect(dialog.getByRole('heading', { name: 'F_TRANSLATION' })).toBeVisible();
  await app.keyboard.press('Escape');
  await expect(dialog).toHaveCount(0);
  await app.evaluate((text) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData('text/plain', text);
    document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
  }, log);
  await idle(app);
  await expect(dialog.getByRole('heading', { name: 'F_TRANSLATION' })).toBeVisible();
});
