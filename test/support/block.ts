/** Stops this thread's event loop, as garbage collection or a full CPU does. */
export function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
