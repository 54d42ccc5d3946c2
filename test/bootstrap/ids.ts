/** Some peer ids. */
export const IDS: readonly string[] = [
  '12D3KooWMRFCp9cB6s4bf7yRhGjJ7QHW6sbdbfyqrsBEUEJQN4Uh',
  '12D3KooWC53BaFKv11DNDtcjBQk3NdbHckj2KQjyxRhwgSJY36w9',
  '12D3KooWJ8debeTDwuMtLckMShFafarTHHergbQtJyGWtofxwyP2',
  '12D3KooWLTwoY2paNuLgVw4Tzt8TSTJ1cbDy5unG9pjkzdG92i1K',
];
