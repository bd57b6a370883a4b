import { choose, drop, expect, idle, steps, test, visit } from './app.ts';

const log = `[ 6542.670620] nvme nvme0: I/O timeout
[ 6542.670624] arm-smmu-v3 arm-smmu-v3.2.auto: event 0x10 received:
[ 6542.670630] arm-smmu-v3 arm-smmu-v3.2.auto: 0x00007d1200000010
[ 6542.670631] arm-smmu-v3 arm-smmu-v3.2.auto: 0x000012000000007c
[ 6542.670633] arm-smmu-v3 arm-smmu-v3.2.auto: 0x00000000fffef040
[ 6542.670634] arm-smmu-v3 arm-smmu-v3.2.auto: 0x00000000fffef000
`;

test('a pasted log is decoded, and shown where it arises', async ({ app }) => {
  await visit(app);
  await choose(app, 'File', 'Paste a log…');
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

/** An STE, a CD and page tables as QEMU's monitor prints them; stage 1 alone, one page mapped at 0x40000000. */
const dump = `(qemu) xp /8gx 0x48000200
0000000048000200: 0x000000004900000b 0x0000000000000000
0000000048000210: 0x0000000000000000 0x0000000000000000
0000000048000220: 0x0000000000000000 0x0000000000000000
0000000048000230: 0x0000000000000000 0x0000000000000000
(qemu) xp /8gx 0x49000000
0000000049000000: 0x00016205c0003510 0x000000004a000000
0000000049000010: 0x0000000000000000 0x00000000f404ff44
0000000049000020: 0x0000000000000000 0x0000000000000000
0000000049000030: 0x0000000000000000 0x0000000000000000
(qemu) xp /2gx 0x4a000000
000000004a000000: 0x000000004a001003 0x0000000000000000
(qemu) xp /2gx 0x4a001000
000000004a001000: 0x0000000000000000 0x000000004a002003
(qemu) xp /2gx 0x4a002000
000000004a002000: 0x000000004a003003 0x0000000000000000
(qemu) xp /2gx 0x4a003000
000000004a003000: 0x0000000050000f47 0x0000000000000000
`;

test('a pasted dump is decoded, and opened as a scenario that walks it', async ({ app }) => {
  await visit(app);
  const before = await steps(app).count();
  await choose(app, 'File', 'Paste a log…');
  const dialog = app.getByRole('dialog', { name: 'Read a log' });
  await dialog.getByRole('textbox').fill(dump);
  await expect(dialog.getByRole('heading', { name: 'STE at 0x48000200' })).toBeVisible();
  await expect(dialog.getByRole('heading', { name: 'CD at 0x49000000' })).toBeVisible();
  await expect(dialog.getByRole('heading', { name: 'Page table, stage 1 level 3 at 0x4a003000' })).toBeVisible();
  await expect(dialog.getByText('Not decoded')).toHaveCount(0);
  await dialog.getByRole('button', { name: 'Open as scenario' }).click();
  await idle(app);
  await expect(dialog).toHaveCount(0);
  // The last step is the device's access, done.
  await expect(app.getByText('dev0: read of 0x40000000 reaches PA 0x50000000').first()).toBeVisible();
  // The reads of its walk, at the addresses of the dump.
  await app.getByLabel('Filter the events').fill('read 0x4');
  const reads = app
    .getByRole('listbox')
    .getByRole('option')
    .filter({ hasText: /read 0x4[89a]/ });
  await expect(reads).toHaveCount(6);
  const texts = ['STE 8', 'CD 0', 'level 0: table', 'level 1: table', 'level 2: table', 'level 3: page'];
  const places = ['48000200', '49000000', '4a000000', '4a001008', '4a002000', '4a003000'];
  for (const [i, place] of places.entries()) {
    await expect(reads.nth(i)).toContainText(`read 0x${place}`);
    await expect(reads.nth(i)).toContainText(texts[i]!);
  }
  await app.getByLabel('Filter the events').fill('');
  await app.getByRole('list', { name: 'Steps' }).getByRole('button').last().focus();
  // What was open before comes back.
  await app.keyboard.press('Control+z');
  await idle(app);
  expect(await steps(app).count()).toBe(before);
});

test('a trace of QEMU shows each command of the guest with its lines', async ({ app }) => {
  await visit(app);
  await choose(app, 'File', 'Paste a log…');
  const dialog = app.getByRole('dialog', { name: 'Read a log' });
  await dialog.getByRole('textbox').fill(`12@1700000000.1:smmuv3_cmdq_consume prod=2 cons=0 prod.wrap=0 cons.wrap=0
12@1700000000.2:smmuv3_cmdq_opcode <--- SMMU_CMD_CFGI_STE
12@1700000000.3:smmuv3_cmdq_cfgi_ste streamid= 0x10
12@1700000000.4:iommufd_backend_alloc_hwpt  iommufd=10 dev_id=1 pt_id=5 flags=0x0 hwpt_type=2 len=16 data_ptr=0x7ffc0000 out_hwpt=0 (-22)
12@1700000000.5:smmuv3_cmdq_consume_error Error on SMMU_CMD_CFGI_STE command execution: 1
12@1700000000.6:smmuv3_cmdq_consume_out prod:2, cons:0, prod_wrap:0, cons_wrap:0 
`);
  const card = dialog.getByRole('listitem').filter({ has: app.getByRole('heading', { name: 'CMD_CFGI_STE' }) });
  await expect(card.getByText(/the kernel refused the guest's STE/)).toBeVisible();
  await expect(card.getByText('line 3')).toBeVisible();
});

test('VT-d lines of a kernel log are decoded, each under a heading of its own', async ({ app }) => {
  await visit(app, '#s=vtd-first-dma&step=6&event=999');
  await choose(app, 'File', 'Paste a log…');
  const dialog = app.getByRole('dialog');
  await dialog
    .getByRole('textbox')
    .fill(
      [
        'DMAR: DRHD: handling fault status reg 2',
        'DMAR: [DMA Write PASID 0x1234] Request device [3b:00.0] fault addr 0x7f0012345000 [fault reason 0x71] SM: Present bit in first-level paging entry is clear',
        'DMAR: VT-d detected Invalidation Time-out Error: SID 3b00',
        'DMAR: QI HEAD: Device-TLB Invalidation qw0 = 0x3b0000000003, qw1 = 0x7ffffffffffff001',
      ].join('\n'),
    );
  await idle(app);
  const heading = (name: string) => dialog.getByRole('heading', { name });
  await expect(heading('DMA fault SFS.2')).toBeVisible();
  await expect(heading('Invalidation queue error ITE')).toBeVisible();
  await expect(heading('Descriptor at the head: Device-TLB Invalidation')).toBeVisible();
  await dialog.getByRole('button', { name: 'Show on the diagram' }).first().click();
  await expect(app.getByRole('complementary', { name: 'Inspector' })).toContainText('FRCD');
});
