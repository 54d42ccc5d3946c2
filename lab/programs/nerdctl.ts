/**
 * Finds nerdctl, from a release archive or built in a checkout, in the lab's directory or in PATH.
 * No Debian package has it, and `go install` refuses it since its go.mod replaces a module.
 */
import { access, constants, mkdir, readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { LabHost } from '../fleet/lab.ts';
import { CommandError } from '../processes/exec.ts';
import { LAB_DIR } from './programs.ts';

/** What a login came to. */
export interface Login {
  readonly code: number;
  /** Registries for which a password is stored now. */
  readonly stored: readonly string[];
  readonly output: string;
}

/** Its path, or undefined: in the lab's directory, else in PATH. */
export async function findNerdctl(): Promise<string | undefined> {
  const directories = [join(LAB_DIR, 'nerdctl'), ...(process.env.PATH ?? '').split(delimiter)];
  for (const directory of directories) {
    const path = join(directory, 'nerdctl');
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return undefined;
}

/** `nerdctl login` on a host, with a store of passwords of its own. `dir` is this login's alone. */
export async function login(
  nerdctl: string,
  host: LabHost,
  {
    registry,
    password,
    hostsDir,
    dir,
  }: Record<'registry' | 'password' | 'hostsDir' | 'dir', string>,
): Promise<Login> {
  await mkdir(dir, { recursive: true });
  const credentials = ['--username', 'fleet', '--password', password];
  const argv = [nerdctl, '--hosts-dir', hostsDir, 'login', ...credentials, registry];
  const env = { DOCKER_CONFIG: dir, HOME: dir };
  const ended = await host.net.run(argv, { env, timeoutMs: 60_000 }).then(
    (output) => ({ ...output, code: 0 }),
    (error: unknown) => {
      if (!(error instanceof CommandError) || typeof error.code !== 'number') throw error;
      return { stdout: error.stdout, stderr: error.stderr, code: error.code };
    },
  );
  const text = await readFile(join(dir, 'config.json'), 'utf8').catch(() => '{}');
  const { auths = {} } = JSON.parse(text) as { auths?: Record<string, unknown> };
  const output = `${ended.stdout}${ended.stderr}`;
  return { code: ended.code, stored: Object.keys(auths), output };
}
