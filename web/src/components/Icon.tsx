const PATHS = {
  plus: "M8 3v10M3 8h10",
  close: "m4 4 8 8M12 4l-8 8",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  send: "M8 13V3M3.5 7.5 8 3l4.5 4.5",
  stop: "M4.5 4.5h7v7h-7z",
  trash: "M3 4.5h10M6.5 4.5V3h3v1.5M4.5 4.5l.6 8.5h5.8l.6-8.5M7 7v3.5M9 7v3.5",
  download: "M8 2.5v7.5M5 7.5 8 10.5l3-3M3 13h10",
  documents: "M4 2.5h5.5L12.5 5.5v8H4zM9.5 2.5v3h3M6.3 8.5h4M6.3 11h4",
  upload: "M8 11V3.5M5 6l3-3 3 3M3 10.5V13h10v-2.5",
  warning: "M8 2.5 14 13H2zM8 6.5v3M8 11.2v.1",
  check: "m3 8.5 3.2 3L13 4.5",
  copy: "M5.5 5.5h7v7.5h-7zM10.5 5.5V3h-7v7.5h2",
  thumbUp:
    "M5 7.5 7.6 2.8a1.4 1.4 0 0 1 2.2 1.5L9.2 6.5h3a1.3 1.3 0 0 1 1.3 1.6l-1 4.1a1.5 1.5 0 0 1-1.4 1.1H5M5 7.5H2.8v5.8H5z",
  thumbDown:
    "M5 8.5 7.6 13.2a1.4 1.4 0 0 0 2.2-1.5L9.2 9.5h3a1.3 1.3 0 0 0 1.3-1.6l-1-4.1a1.5 1.5 0 0 0-1.4-1.1H5M5 8.5H2.8V2.7H5z",
  chevron: "m6 4 4 4-4 4",
  sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6M8 1.5v1.2M8 13.3v1.2M1.5 8h1.2M13.3 8h1.2M3.4 3.4l.9.9M11.7 11.7l.9.9M12.6 3.4l-.9.9M4.3 11.7l-.9.9",
  moon: "M13 9.5A5.5 5.5 0 0 1 6.5 3 5.5 5.5 0 1 0 13 9.5z",
  system: "M2.5 3.5h11v7.5h-11zM6 13.5h4",
  language:
    "M2.5 4h6.5M5.7 2.5V4M7.8 4c-.5 2.7-2.4 4.8-5 6M3.8 4c.6 2.3 2.2 4.2 4.4 5.5M8.5 13.5 11 7l2.5 6.5M9.3 11.5h3.4",
  leave: "M6.5 2.5h-4v11h4M6 8h7.5M10.5 5l3 3-3 3",
  key: "M10.2 2.5a3.3 3.3 0 1 0 0 6.6 3.3 3.3 0 0 0 0-6.6M7.8 8.2 2.5 13.5M4.2 11.8l1.6 1.6",
  person:
    "M8 8a2.7 2.7 0 1 0 0-5.4A2.7 2.7 0 0 0 8 8M2.8 13.5c0-2.7 2.3-4.3 5.2-4.3s5.2 1.6 5.2 4.3",
  people:
    "M6 7.4a2.3 2.3 0 1 0 0-4.6 2.3 2.3 0 0 0 0 4.6M1.5 13c0-2.3 2-3.8 4.5-3.8s4.5 1.5 4.5 3.8M10.4 3a2.2 2.2 0 0 1 0 4.2M11.7 9.4c1.7.4 2.8 1.8 2.8 3.6",
  rotate: "M13 8a5 5 0 1 1-1.5-3.6M13.2 2.3v2.9h-2.9",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.3 10.3l3.2 3.2",
  eye: "M1.5 8s2.5-4.2 6.5-4.2S14.5 8 14.5 8 12 12.2 8 12.2 1.5 8 1.5 8zM8 6.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6",
} as const;

export type IconName = keyof typeof PATHS;

/** A line drawing of 16 × 16 in the text's color. Decorative: the control around it has the name. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
