import type { AppStore } from '../store/index.ts';
import { takeFile, takeText } from './files.ts';

/** Files and text that are dropped on the page or pasted outside a text field. */
export function takeDrops(app: AppStore): void {
  const root = document.documentElement;
  const hasContent = (e: DragEvent): boolean =>
    [...(e.dataTransfer?.types ?? [])].some((t) => t === 'Files' || t === 'text/plain');
  window.addEventListener('dragover', (e) => {
    if (!hasContent(e)) return;
    e.preventDefault();
    root.dataset.drop = 'true';
  });
  window.addEventListener('dragleave', (e) => {
    if (e.relatedTarget === null) delete root.dataset.drop;
  });
  window.addEventListener('drop', (e) => {
    delete root.dataset.drop;
    if (!e.dataTransfer || !hasContent(e)) return;
    e.preventDefault();
    const file = e.dataTransfer.files[0];
    if (file) void takeFile(app, file);
    else takeText(app, e.dataTransfer.getData('text/plain'), 'The dropped text');
  });
  window.addEventListener('paste', (e) => {
    const target = e.target;
    const inField =
      target instanceof Element && target.closest('input, textarea, select, [contenteditable], dialog') !== null;
    if (inField || !e.clipboardData) return;
    const file = e.clipboardData.files[0];
    const text = e.clipboardData.getData('text/plain');
    if (!file && text.trim() === '') return;
    e.preventDefault();
    if (file) void takeFile(app, file);
    else takeText(app, text, 'The pasted text');
  });
}
