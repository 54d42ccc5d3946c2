import { RE2JS } from 're2js';
import type { NamePattern } from './filters.ts';

/**
 * A regular expression in Go's syntax (RE2, https://github.com/google/re2/wiki/Syntax). A match
 * takes time linear in the text. With the engine of JavaScript a peer can block this host for 18 s
 * by asking for one name. The constructor throws re2js's error if the source is not valid.
 */
export class Re2Pattern implements NamePattern {
  readonly source: string;
  readonly #compiled: ReturnType<typeof RE2JS.compile>;

  constructor(source: string) {
    this.source = source;
    this.#compiled = RE2JS.compile(source);
  }

  test(name: string): boolean {
    return this.#compiled.test(name);
  }
}
