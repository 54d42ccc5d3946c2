import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import type { ConfigurationSettings } from '../../lib/hosts/configuration-settings.ts';
import { cleanUpMirrors, configureMirrors, type HostsOutcome } from '../../lib/hosts/mirrors.ts';

export const MIRROR = 'http://127.0.0.1:5000';

export const ALL: ConfigurationSettings = {
  isForAll: true,
  registries: [],
  excluded: [],
  targets: [MIRROR],
  resolveTags: true,
  dialTimeoutMs: 1000,
  authorization: undefined,
  prependExisting: true,
};

/** A certs.d of one test, and the two commands on it. */
export class CertsDirectory {
  readonly path: string;

  constructor(path: string, files: Readonly<Record<string, string>> = {}) {
    this.path = path;
    for (const [name, text] of Object.entries(files)) this.write(name, text);
  }

  /** With these files; a name that ends in a slash is a directory. Gone with the test. */
  static make(t: TestContext, files: Readonly<Record<string, string>> = {}): CertsDirectory {
    const path = mkdtempSync(join(tmpdir(), 'spegel-certs-'));
    t.after(() => rmSync(path, { recursive: true, force: true }));
    return new CertsDirectory(path, files);
  }

  write(name: string, text: string): void {
    const path = join(this.path, name);
    mkdirSync(name.endsWith('/') ? path : dirname(path), { recursive: true });
    if (!name.endsWith('/')) writeFileSync(path, text);
  }

  read(name: string): string {
    return readFileSync(join(this.path, name), 'utf8');
  }

  /** All paths in it, but for what lies in our work directory. */
  names(): string[] {
    const names = readdirSync(this.path, { recursive: true, encoding: 'utf8' }).sort();
    return names.filter((name) => !name.startsWith('.spegel/'));
  }

  configure(
    settings: Partial<ConfigurationSettings> = {},
    isDryRun = false,
  ): Promise<HostsOutcome> {
    const { signal } = new AbortController();
    return configureMirrors([this.path], { ...ALL, ...settings }, { signal, isDryRun });
  }

  cleanUp(): Promise<HostsOutcome> {
    return cleanUpMirrors([this.path], { signal: new AbortController().signal });
  }
}
