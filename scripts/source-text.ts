/** A text (group 1) or a comment (group 2) of a TypeScript source. */
export const TEXT_OR_COMMENT =
  /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\[\s\S]|[^`\\])*`)|(\/\/[^\n]*|\/\*[\s\S]*?\*\/)/g;

/** What one statement or call imports. */
export interface Import {
  /** Undefined when the module's name is computed: nobody can say where that goes. */
  readonly target: string | undefined;
  readonly isType: boolean;
}

/**
 * Source without comments: they may name what the code must not. Texts stay, module names are among
 * them.
 */
export function withoutComments(source: string): string {
  return source.replace(
    TEXT_OR_COMMENT,
    (whole, text: string | undefined) => text ?? ' '.repeat(whole.length),
  );
}

/** What a source without comments imports, by whatever statement. */
export function importsOf(code: string): Import[] {
  const statements =
    /\b(?:import|export)\s+(type\b)?(?:[\w$\s{},*]*?\bfrom\s*)?(['"])([^'"\n]+)\2/g;
  const calls = /\b(?:import|require)\s*\(\s*(?:(['"`])([^'"`$\n]+)\1\s*[,)])?/g;
  const named = [...code.matchAll(statements)].map(([, type, , target]) => ({
    target,
    isType: type !== undefined,
  }));
  const called = [...code.matchAll(calls)].map(([, , target]) => ({ target, isType: false }));
  return [...named, ...called];
}
