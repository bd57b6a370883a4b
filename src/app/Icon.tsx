const paths = {
  play: 'M7 4.5v15l12-7.5z',
  pause: 'M7 5h3.5v14H7zM13.5 5H17v14h-3.5z',
  eventNext: 'M8 5v14l8.5-7zM18 5v14',
  eventBack: 'M16 5v14l-8.5-7zM6 5v14',
  stepNext: 'M4.5 6v12l7-6zM12 6v12l7-6zM20.5 6v12',
  stepBack: 'M19.5 6v12l-7-6zM12 6v12l-7-6zM3.5 6v12',
  loop: 'M17 3l3 3-3 3M4 12V9.5A3.5 3.5 0 0 1 7.5 6H20M7 21l-3-3 3-3M20 12v2.5a3.5 3.5 0 0 1-3.5 3.5H4',
  close: 'M6 6l12 12M18 6L6 18',
  search: 'M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5L20 20',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6L7 7M17 17l1.4 1.4M5.6 18.4L7 17M17 7l1.4-1.4',
  moon: 'M20 14.5A8 8 0 0 1 9.5 4a8 8 0 1 0 10.5 10.5z',
  system: 'M4 5h16v11H4zM9 20h6M12 16v4',
  chevronDown: 'M6 9l6 6 6-6',
  chevronUp: 'M6 15l6-6 6 6',
  chevronRight: 'M9 6l6 6-6 6',
  warning: 'M12 4L2.8 19.5h18.4zM12 10v4.5M12 17v.5',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  copy: 'M9 9h10v11H9zM5 15V4h10',
  undo: 'M8 5L4 9l4 4M4 9h9.5a5.5 5.5 0 0 1 0 11H9',
  redo: 'M16 5l4 4-4 4M20 9h-9.5a5.5 5.5 0 0 0 0 11H15',
  plus: 'M12 5v14M5 12h14',
  grow: 'M4 9V4h5M20 15v5h-5M4 4l6 6M20 20l-6-6',
  shrink: 'M10 5v5H5M14 19v-5h5M10 10L4 4M14 14l6 6',
  text: 'M5 6h14M5 10h14M5 14h9M5 18h11',
  more: 'M6 12h.01M12 12h.01M18 12h.01',
} as const;

export type IconName = keyof typeof paths;
const filled: readonly IconName[] = ['play', 'pause', 'eventNext', 'eventBack', 'stepNext', 'stepBack'];

/** A mark beside a word or inside a labelled button; never the only thing that says something. */
export function Icon({ name, className = 'size-4' }: { name: IconName; className?: string }) {
  return (
    <svg
      viewBox="0 0 24 24"
      aria-hidden="true"
      className={`shrink-0 ${className}`}
      fill={filled.includes(name) ? 'currentColor' : 'none'}
      stroke="currentColor"
      strokeWidth={name === 'more' ? 3 : 1.8}
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      <path d={paths[name]} />
    </svg>
  );
}
