/** Directories of containerd and of nerdctl, below one of a test. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { parse } from 'toml';
import type { ConfigurationSettings } from '../../lib/hosts/configuration-settings.ts';
import { cleanUpMirrors, configureMirrors, type RunOptions } from '../../lib/hosts/mirrors.ts';
import { ALL } from './support.ts';
import { type Tree, writeTree } from './tree.ts';

const { signal } = new AbortController();

export interface Read {
  readonly server?: string;
  readonly ca?: unknown;
  readonly client?: unknown;
  readonly host: Readonly<Record<string, { readonly ca?: unknown }>>;
}

/** containerd's is the first, `a`; nerdctl's are both. */
export class NerdctlHost {
  readonly base: string;
  readonly list: readonly string[];

  constructor(t: TestContext, tree: Tree, list: readonly string[] = ['a']) {
    this.base = mkdtempSync(join(tmpdir(), 'spegel-nerdctl-'));
    t.after(() => rmSync(this.base, { recursive: true, force: true }));
    writeTree(this.base, tree);
    this.list = list;
  }

  path(name: string): string {
    return join(this.base, name);
  }

  async configure(
    settings: Partial<ConfigurationSettings> = {},
    further: Partial<RunOptions> = {},
  ) {
    const nerdctlPaths = ['a', 'b'].map((name) => this.path(name));
    const options = { signal, nerdctlPaths, ...further };
    const outcome = await configureMirrors(
      this.list.map((name) => this.path(name)),
      { ...ALL, ...settings },
      options,
    );
    return {
      problems: outcome.problems,
      changes: outcome.changes
        .map(({ action, path }) => `${action} ${path.slice(this.base.length + 1)}`)
        .sort(),
    };
  }

  cleanUp() {
    return cleanUpMirrors(
      this.list.map((name) => this.path(name)),
      { signal },
    );
  }

  read(name: string): Read {
    return parse(readFileSync(this.path(`${name}/hosts.toml`), 'utf8')) as unknown as Read;
  }
}
