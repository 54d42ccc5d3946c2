/** What `spegel install` and its check say on a booted host. */
import assert from 'node:assert/strict';
import { waitUntil } from '../../lab/processes/exec.ts';
import { HOST_EXECUTABLE, spegel } from '../../lab/systemd/bare-host.ts';
import type { SystemdHost } from '../../lab/systemd/systemd-host.ts';

/** Where an installation puts the executable. */
export const INSTALLED = { executable: '/usr/local/bin/spegel' };

/** A finding, as `--json` prints it. */
export interface Printed {
  readonly kind: string;
  readonly name: string;
  readonly text: string;
  readonly since?: string;
  readonly commands: readonly string[];
}

/** What a check says, without its notes. */
async function lookAt(host: SystemdHost) {
  const { code, stdout, stderr } = await spegel(host, 'install', '--check', '--json');
  assert.ok(stdout !== '', stderr);
  const { findings, changes } = JSON.parse(stdout);
  const said: Printed[] = findings.filter(({ kind }: Printed) => kind !== 'note');
  return { code, said, changes };
}

/** The one thing that is wrong. */
async function onlyFinding(host: SystemdHost, name: string, text: RegExp): Promise<Printed> {
  const { code, said } = await lookAt(host);
  const names = said.map((one) => one.name);
  assert.deepEqual([code, names], [3, [name]], JSON.stringify(said));
  assert.match(said[0]?.text ?? '', text);
  return said[0] as Printed;
}

export async function assertFine(host: SystemdHost): Promise<void> {
  const { code, stdout, stderr } = await spegel(host, 'install', '--check');
  assert.deepEqual([code, stdout], [0, 'nothing to do\n'], stderr);
}

/** Installs by the executable that is installed; gives what it prints. */
async function installAgain(host: SystemdHost, ...words: string[]): Promise<string> {
  const output = await spegel(host, 'install', ...words, INSTALLED);
  assert.equal(output.code, 0, output.stderr);
  return output.stdout;
}

/** Has a port, under the name of Spegel, and serves nothing. */
async function takePort(host: SystemdHost, unit: string, port: number): Promise<void> {
  const words = ['cleanup', `--addr=:${port}`, '--containerd-registry-config-path=/tmp/none'];
  await host.run(['systemd-run', '--quiet', `--unit=${unit}`, HOST_EXECUTABLE, ...words]);
}

async function untilTaken(host: SystemdHost, port: number): Promise<void> {
  await waitUntil(`port ${port} is taken`, async () =>
    (await host.run(['ss', '-Hltn', `sport = :${port}`])).stdout.includes('LISTEN'),
  );
}

/** All of these for one host. */
export function checksOf(host: SystemdHost) {
  return {
    assertFine: () => assertFine(host),
    install: (...words: string[]) => installAgain(host, ...words),
    look: () => lookAt(host),
    only: (name: string, text: RegExp) => onlyFinding(host, name, text),
    take: (unit: string, port: number) => takePort(host, unit, port),
    taken: (port: number) => untilTaken(host, port),
  };
}
