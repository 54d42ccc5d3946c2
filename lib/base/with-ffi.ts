import type * as Ffi from 'node:ffi';

/**
 * Makes a function that opens something of libc at its first call, and gives the same from then on.
 * Undefined where this Node cannot call libc, and where `open` gives nothing.
 */
export function withFfi<T>(open: (ffi: typeof Ffi) => T | undefined): () => T | undefined {
  let opened: { readonly value: T | undefined } | undefined;
  return () => {
    if (opened === undefined) {
      const ffi = process.getBuiltinModule('node:ffi') as typeof Ffi | undefined;
      opened = { value: ffi && open(ffi) };
    }
    return opened.value;
  };
}
