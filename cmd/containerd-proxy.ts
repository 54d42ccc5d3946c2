import { seenVariables } from '../lib/proxy/containerd-proxy.ts';
import { quoted } from '../lib/systemd/environment-syntax.ts';
import { readOptions } from './options/read-options.ts';
import { REGISTRY_OPTIONS } from './options/registry-options.ts';
import type { Command } from './process/command.ts';
import { untilStopped } from './process/until-stopped.ts';

const OPTIONS = { containerdSock: REGISTRY_OPTIONS.containerdSock } as const;

/**
 * spegel.service runs this as root before it starts its daemon, which may not see other processes.
 * Prints nothing if the proxy is unknown. A password is printed, too.
 */
export const containerdProxyCommand: Command = {
  name: 'containerd-proxy',
  summary: 'print the proxy with which containerd was started, for spegel.service',
  isHidden: true,
  options: OPTIONS,
  async run(given, context) {
    const { containerdSock } = readOptions(OPTIONS, given, context.env);
    const { readRunningProxy } = await import('../lib/install/containerd/find-proxy.ts');
    const proxy = await untilStopped(context.events, (signal) =>
      readRunningProxy(containerdSock, signal),
    );
    if (proxy === undefined) return 0;
    const lines = Object.entries(seenVariables(proxy)).map(
      ([name, value]) => `${name}=${quoted(value)}\n`,
    );
    context.stdout(lines.join(''));
    return 0;
  },
};
