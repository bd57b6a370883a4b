import { Component, type ReactNode } from 'react';

/** Catches what breaks while the page is drawn: says so, and what to do. The document is saved before anything is drawn. */
export class Broken extends Component<{ children: ReactNode }, { error: unknown }> {
  override state: { error: unknown } = { error: null };

  static getDerivedStateFromError(error: unknown): { error: unknown } {
    return { error };
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (error === null) return this.props.children;
    return (
      <main role="alert" className="mx-auto max-w-xl space-y-3 p-8">
        <h1 className="text-base font-semibold">This page is broken</h1>
        <p>A part of iommuscope could not be drawn. The document is saved in this browser; reload to go on with it.</p>
        <pre className="scroll-thin max-h-60 overflow-auto rounded-md bg-sunken p-3 font-mono text-xs whitespace-pre-wrap">
          {error instanceof Error ? (error.stack ?? error.message) : String(error)}
        </pre>
        <button type="button" className="btn btn-primary" onClick={() => location.reload()}>
          Reload
        </button>
      </main>
    );
  }
}
