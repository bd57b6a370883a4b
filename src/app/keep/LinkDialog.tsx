import { useAppStore } from '../context.ts';
import { Dialog } from '../Dialog.tsx';
import { exportDocument } from '../files.ts';

interface Props {
  /** Null where the document is too long for one. */
  readonly link: string | null;
  readonly characters: number;
}

/** A link that could not be copied, to copy by hand; or what to do where the document is too long for a link. */
export function LinkDialog({ link, characters }: Props) {
  const app = useAppStore();
  const close = (): void => app.showDialog(null);
  const save = (): void => {
    close();
    exportDocument(app);
  };
  if (link === null)
    return (
      <Dialog title="Too long for a link" width="w-[29rem]" onClose={close}>
        <div className="space-y-4 p-4">
          <p>
            A link to this document would have more than {characters.toLocaleString('en')} characters; chat and mail
            programs cut such links. A file holds it whole: whoever gets it drops it on this page.
          </p>
          <div className="flex justify-end gap-2">
            <button type="button" className="btn" onClick={close}>
              Cancel
            </button>
            <button type="button" className="btn btn-primary" onClick={save}>
              Save as a file
            </button>
          </div>
        </div>
      </Dialog>
    );
  return (
    <Dialog title="Link to this position" width="w-[34rem]" onClose={close}>
      <div className="space-y-3 p-4">
        <p id="link-text">
          The browser did not let the page copy it. Copy it here: it holds the whole document, in{' '}
          {characters.toLocaleString('en')} characters.
        </p>
        <textarea
          readOnly
          aria-label="Link"
          aria-describedby="link-text"
          className="h-32 w-full resize-none rounded-lg border border-line-strong bg-sunken p-2 font-mono text-xs break-all"
          value={link}
          onFocus={(e) => e.currentTarget.select()}
        />
      </div>
    </Dialog>
  );
}
