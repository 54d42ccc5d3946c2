/** What a test tells an evil node, and what that says of itself. */

/** Each is a way to lie; lies.ts has what it answers. */
export const LIES = [
  'wrong-bytes',
  'wrong-last-byte',
  'cut-half',
  'cut-one-byte',
  'cut-last-byte',
  'cut-silent',
  'cut-reset',
  'longer',
  'shorter',
  'drip',
  'penitent',
  'wrong-rest',
  'small-is-right',
  'manifests',
] as const;
export type Lie = (typeof LIES)[number];

export interface EvilSpec {
  readonly lie: Lie;
  /** Addresses of the host that it runs on; its identities have them in turn. */
  readonly addresses: readonly string[];
  /** Addresses of the fleet's hosts. */
  readonly fleet: readonly string[];
  /** Identities at once, each with ports of its own. */
  readonly identities: number;
  /** After so many milliseconds each identity is given up for a new one; 0: never. */
  readonly identityMs: number;
  /**
   * It says that it holds the content; otherwise that it is just downloading it, as the first of
   * the fleet.
   */
  readonly holds: boolean;
  /** Whether it also lies as a tracker: it sends everybody who asks to itself. */
  readonly misleads: boolean;
  /** Of each digest only the host that asks first gets anything, the others are sent away. */
  readonly oneBranch: boolean;
}

/** The content that it lies about from now on. */
export interface Learned {
  /** Of the right bytes: `<dir>/blobs/sha256/<hex>`. */
  readonly dir: string;
  readonly manifests: readonly string[];
  /** Layers and configs. */
  readonly blobs: readonly string[];
}

/** What it has done so far. */
export interface EvilDeeds {
  /** Answers to a GET that were no truth, by the address that got them. */
  readonly lies: Readonly<Record<string, number>>;
  /** Answers to a GET that were right. */
  readonly truths: Readonly<Record<string, number>>;
  readonly identities: number;
}

/** Of the first identity; the next ones have both ten higher each. */
export const EVIL_REGISTRY_PORT = 5000;
export const EVIL_ROUTER_PORT = 5001;
export const EVIL_PORT_STEP = 10;
/** Where the test tells it what to lie about, and asks for its deeds. */
export const EVIL_CONTROL_PORT = 4999;
