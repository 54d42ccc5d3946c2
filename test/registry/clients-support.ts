/** What tests of clients on other hosts share. */
import type { TestContext } from 'node:test';
import { type Node, type NodeOptions, startNode } from '../mirror/support.ts';

/** Whether the tests' own address counts as this host. */
export function hostOrNot(): { isHost: boolean; has(address: string | undefined): boolean } {
  return {
    isHost: false,
    has() {
      return this.isHost;
    },
  };
}

export function startForeign(t: TestContext, options: NodeOptions = {}): Promise<Node> {
  return startNode((stop) => t.after(stop), { own: hostOrNot(), ...options });
}

export async function messageOf(response: Response): Promise<string> {
  const { errors } = (await response.json()) as { errors: { message: string }[] };
  return errors[0]?.message ?? '';
}
