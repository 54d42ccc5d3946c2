/** Random values with a seed: a failing case comes again with the same seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** 0 <= n < 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number between both bounds, inclusive. */
  int(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  pick<T>(values: readonly T[]): T {
    const value = values[this.int(0, values.length - 1)];
    if (value === undefined) throw new Error('nothing to pick from');
    return value;
  }

  text(alphabet: string, min: number, max: number): string {
    return Array.from({ length: this.int(min, max) }, () => this.pick([...alphabet])).join('');
  }

  list<T>(min: number, max: number, make: () => T): T[] {
    return Array.from({ length: this.int(min, max) }, make);
  }
}

const LOWER = 'abcdefghijklmnopqrstuvwxyz0123456789';

export function randomDigest(random: Random): string {
  return `sha256:${random.text('0123456789abcdef', 64, 64)}`;
}

export function randomRepository(random: Random): string {
  const component = () =>
    random
      .list(1, 3, () => random.text(LOWER, 1, 8))
      .reduce((left, right) => `${left}${random.pick(['.', '_', '__', '-', '---'])}${right}`);
  return random.list(1, 4, component).join('/');
}

export function randomRegistry(random: Random): string {
  const host = random.pick([
    () => random.list(2, 4, () => random.text(LOWER, 1, 10)).join('.'),
    () => random.list(4, 4, () => random.int(0, 255)).join('.'),
    () => `[fd00::${random.int(1, 9999)}]`,
    () => 'localhost',
  ])();
  return random.next() < 0.5 ? host : `${host}:${random.int(1, 65_535)}`;
}

export function randomTag(random: Random): string {
  const first = `${LOWER}ABCXYZ_`;
  return random.text(first, 1, 1) + random.text(`${first}.-`, 0, 127);
}

/** The text with some characters replaced, dropped, doubled or added. */
export function mutated(random: Random, text: string): string {
  const characters = [...text];
  for (let changes = random.int(1, 3); changes > 0; changes -= 1) {
    const at = random.int(0, characters.length);
    const noise = random.pick([...'/:@?&=%.-_ A\n\0ü"\\#;', '..', '//', 'sha256:', '\u{1F600}']);
    const removed = random.int(0, 2);
    characters.splice(at, removed, ...(random.next() < 0.7 ? [noise] : []));
  }
  return characters.join('');
}
