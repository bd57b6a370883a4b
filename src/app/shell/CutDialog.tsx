import type { CutQuestion } from '../../store/index.ts';
import { useAppStore } from '../context.ts';
import { Dialog } from '../Dialog.tsx';

/** Asks before an operation from an earlier position removes the steps after it. */
export function CutDialog({ question }: { question: CutQuestion }) {
  const app = useAppStore();
  const { lost, label } = question;
  return (
    <Dialog title="Cut what follows?" width="w-[27rem]" onClose={() => app.answerCut(false)}>
      <div className="space-y-4 p-4">
        <p>
          {lost === 1 ? 'One step comes' : `${lost} steps come`} after this position. <strong>{label}</strong> takes{' '}
          {lost === 1 ? 'its' : 'their'} place. Undo brings {lost === 1 ? 'it' : 'them'} back.
        </p>
        <div className="flex justify-end gap-2">
          <button type="button" className="btn" onClick={() => app.answerCut(false)}>
            Cancel
          </button>
          <button type="button" className="btn btn-primary" onClick={() => app.answerCut(true)}>
            Cut and add
          </button>
        </div>
      </div>
    </Dialog>
  );
}
