/** kura's mark: a storehouse with its window and its lattice wall. Decorative; 64 px wide unless a style says otherwise. */
export function KuraMark({ className }: { className?: string | undefined }) {
  return (
    <svg
      className={className}
      width="64"
      height="64"
      viewBox="0 0 32 32"
      aria-hidden="true"
      focusable="false"
    >
      <path
        fill="none"
        stroke="currentColor"
        strokeWidth="2"
        strokeLinecap="round"
        strokeLinejoin="round"
        d="M3 12.5 16 4l13 8.5M6.5 11.5v16h19v-16"
      />
      <path className="kura-seal" d="M13.25 11.5h5.5V17h-5.5z" />
      <path
        fill="none"
        stroke="currentColor"
        strokeWidth="1.4"
        d="m6.5 27.5 4.75-5 4.75 5 4.75-5 4.75 5M6.5 22.25h19"
      />
    </svg>
  );
}
