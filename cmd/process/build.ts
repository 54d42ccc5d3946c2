// esbuild's `define` replaces these names; run from source they do not exist.
declare const __SPEGEL_VERSION__: string;
declare const __SPEGEL_COMMIT__: string;

/** The version of this build; `dev` when run from source. */
export const VERSION = typeof __SPEGEL_VERSION__ === 'undefined' ? 'dev' : __SPEGEL_VERSION__;
const COMMIT = typeof __SPEGEL_COMMIT__ === 'undefined' ? 'unknown' : __SPEGEL_COMMIT__;

/** The architectures have Go's names, like those of the release archives. */
const GO_ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64' };

export function buildInfo() {
  const arch = GO_ARCHITECTURES[process.arch] ?? process.arch;
  return { version: VERSION, commit: COMMIT, node: process.version, arch };
}

/** Version, commit, Node and architecture on one line. */
export function versionText(): string {
  const { version, commit, node, arch } = buildInfo();
  return `spegel ${version} (commit ${commit}, node ${node}, linux/${arch})`;
}
