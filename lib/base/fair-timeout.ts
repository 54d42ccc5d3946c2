/**
 * A timer of `ms` milliseconds. Before it fires, answers that came while this process's event loop
 * was busy are read. Returns a function that stops it.
 */
export function fairTimeout(ms: number, onTimeout: () => void): () => void {
  let immediate: NodeJS.Immediate | undefined;
  const timer = setTimeout(() => {
    immediate = setImmediate(onTimeout);
  }, ms);
  return () => {
    clearTimeout(timer);
    clearImmediate(immediate);
  };
}
