import { useState } from 'react';
import { useAppStore } from '../context.ts';
import { Dialog } from '../Dialog.tsx';
import { busy } from '../idle.ts';
import { type Picture, pictures, savePicture } from './save-picture.ts';

/** Which of the drawings on the page is to be saved. */
export function PictureDialog({ format }: { format: 'svg' | 'png' }) {
  const app = useAppStore();
  const [all] = useState(pictures);
  const close = (): void => app.showDialog(null);
  const save = (p: Picture): void => {
    close();
    void busy(savePicture(app, p, format)).catch((e: unknown) =>
      app.notify('error', 'The picture was not saved', [e instanceof Error ? e.message : String(e)]),
    );
  };
  return (
    <Dialog title={`Save a picture as ${format.toUpperCase()}`} width="w-[26rem]" onClose={close}>
      <div className="space-y-3 p-4">
        {all.length === 0 ? (
          <p>No view that can be saved as a picture is on the page. Show the topology or a view below it first.</p>
        ) : (
          <p>
            As it looks now. The file carries the document and this position: dropped on the page, it opens here again.
          </p>
        )}
        <ul className="space-y-1.5">
          {all.map((p) => (
            <li key={p.title}>
              <button type="button" className="btn h-9 w-full justify-start" onClick={() => save(p)}>
                {p.title}
              </button>
            </li>
          ))}
        </ul>
      </div>
    </Dialog>
  );
}
