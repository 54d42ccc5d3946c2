/** A name with more wrong letters is another name. */
const MAX_WRONG = 3;

/** The name that was probably meant; undefined: none is similar. */
export function closestName(name: string, names: readonly string[]): string | undefined {
  const [close] = names
    .map((known) => ({ known, wrong: distance(name, known) }))
    .filter(({ wrong }) => wrong <= MAX_WRONG)
    .sort((one, other) => one.wrong - other.wrong);
  return close?.known;
}

/** The number of letters to add, remove or change (Levenshtein). */
function distance(one: string, other: string): number {
  let above = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (const [index, letter] of [...one].entries()) {
    const row = [index + 1];
    for (let at = 1; at <= other.length; at += 1) {
      const same = (above[at - 1] ?? 0) + (letter === other[at - 1] ? 0 : 1);
      row.push(Math.min((above[at] ?? 0) + 1, (row[at - 1] ?? 0) + 1, same));
    }
    above = row;
  }
  return above[other.length] ?? 0;
}
