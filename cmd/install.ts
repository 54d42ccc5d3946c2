import { existsSync } from 'node:fs';
import { getAsset, isSea } from 'node:sea';
import { SpegelError } from '../lib/base/errors.ts';
import type { Finding } from '../lib/install/finding.ts';
import type { InstallReport, InstallSettings } from '../lib/install/install.ts';
import { CONFIGURATION, SERVICE } from '../lib/install/layout.ts';
import type { Command, Context } from './command.ts';
import { INSTALL_OPTIONS } from './install-options.ts';
import { installedEnvironment, installedValues } from './installed-settings.ts';
import { readOptions, type ValuesOf } from './option.ts';
import { untilStopped } from './until-stopped.ts';

type Values = ValuesOf<typeof INSTALL_OPTIONS>;

export const installCommand: Command = {
  name: 'install',
  summary: 'install this executable as a service of this host and start it',
  options: INSTALL_OPTIONS,
  async run(given, context) {
    const values = readOptions(INSTALL_OPTIONS, given, context.env);
    assertRoot();
    assertSystemd();
    if (!isSea()) {
      throw new SpegelError(
        'ERR_INSTALL',
        'expected to run as the executable, got its source; make build, then dist/spegel install',
      );
    }
    const settings = await installSettings(values);
    const { install } = await import('../lib/install/install.ts');
    const say = (line: string) => context.stderr(`spegel: ${line}\n`);
    const report = await untilStopped(context.events, (signal) =>
      install(settings, { signal, say }),
    );
    print(report, values, settings.listeners[0]?.port, context);
    const isPrevented = report.findings.some(({ kind }) => kind === 'obstacle');
    if (values.check) return report.changes.length + report.findings.length > 0 ? 3 : 0;
    return isPrevented || report.problem !== undefined ? 1 : 0;
  },
};

/** Throws unless this process may write where a system's files are. */
export function assertRoot(): void {
  const uid = process.geteuid?.();
  if (uid === 0) return;
  throw new SpegelError('ERR_INSTALL', `expected to run as root, got user id ${uid}; use sudo`);
}

export const hasSystemd = () => existsSync('/run/systemd/system');

function assertSystemd(): void {
  if (hasSystemd()) return;
  const text =
    "expected a host that systemd has booted, got no /run/systemd/system; without it start 'spegel registry' by what you have, then run 'spegel configuration'";
  throw new SpegelError('ERR_INSTALL', text);
}

async function installSettings(values: Values): Promise<InstallSettings> {
  const [{ environmentFile }, { COMPLETIONS }] = await Promise.all([
    import('./environment-file.ts'),
    import('./completions.ts'),
  ]);
  const host = installedValues(installedEnvironment());
  const peers = values.staticBootstrapPeers;
  if (peers.length > 0) {
    const { parseBootstrapPeer } = await import('../lib/daemon.ts');
    for (const peer of peers) parseBootstrapPeer(peer);
  }
  return {
    contents: {
      executable: process.execPath,
      // Packed by scripts/pack.ts: an executable has no files beside it.
      units: {
        [SERVICE]: getAsset(SERVICE, 'utf8'),
        [CONFIGURATION]: getAsset(CONFIGURATION, 'utf8'),
      },
      environmentFile: environmentFile({ STATIC_BOOTSTRAP_PEERS: peers.join(',') }),
      completions: Object.fromEntries(
        Object.entries(COMPLETIONS).map(([name, text]) => [name, text()]),
      ),
    },
    socket: host.containerdSock,
    hostsPath: host.containerdRegistryConfigPath,
    listeners: [
      { option: 'REGISTRY_ADDR', ...host.registryAddr },
      { option: 'ROUTER_ADDR', ...host.routerAddr },
      { option: 'METRICS_ADDR', ...host.metricsAddr },
    ],
    peers,
    start: values.start,
    isCheck: values.check,
  };
}

const DONE = { add: 'added', change: 'changed', remove: 'removed' } as const;
const TO_DO = { add: 'would add', change: 'would change', remove: 'would remove' } as const;
const RUNS = {
  started: 'spegel.service runs, and is started at every boot',
  restarted: 'spegel.service runs again',
  enabled: "spegel.service is started at the next boot, or now: 'systemctl start spegel'",
} as const;

function print(
  report: InstallReport,
  values: Values,
  port: number | undefined,
  { stdout, stderr }: Context,
): void {
  const { findings, changes, service, problem } = report;
  if (values.json) return void stdout(`${JSON.stringify(report)}\n`);
  for (const finding of findings) stderr(describe(finding));
  for (const { path, action } of changes)
    stdout(`${(values.check ? TO_DO : DONE)[action]} ${path}\n`);
  if (findings.some(({ kind }) => kind === 'obstacle')) {
    if (!values.check) stderr('spegel: nothing was touched\n');
  } else if (service !== undefined) {
    stdout(`${RUNS[service]}\n`);
    if (service !== 'enabled')
      stdout(
        `see that it works: systemctl status spegel; curl -f http://127.0.0.1:${port}/readyz\n`,
      );
  } else if (problem !== undefined) {
    stderr(`spegel: ${problem}\n`);
  } else if (changes.length === 0) {
    stdout('nothing to do\n');
  }
}

/** One line that says it, and under it, to be copied, what to write or to run. */
function describe({ kind, message, lines }: Finding): string {
  const head = kind === 'obstacle' ? 'cannot install' : 'note';
  const below = lines.map((line) => `${`    ${line}`.trimEnd()}\n`).join('');
  return `spegel: ${head}: ${message}\n${below}`;
}
