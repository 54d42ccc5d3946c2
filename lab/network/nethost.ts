/** One host on the lab's network, and everything that can go wrong with its link. */
import { type Output, type RunOptions, run, waitUntil } from '../processes/exec.ts';
import type { LabTools } from '../programs/programs.ts';

interface Place {
  readonly ns: string;
  readonly address: string;
  readonly address6: string | undefined;
  readonly switchNs: string;
  readonly switchPort: string;
}

export class NetHost {
  readonly ns: string;
  readonly address6: string | undefined;
  readonly #tools: LabTools;
  readonly #place: Place;
  #address: string;
  #filters = 0;

  constructor(tools: LabTools, place: Place) {
    this.#tools = tools;
    this.#place = place;
    this.ns = place.ns;
    this.#address = place.address;
    this.address6 = place.address6;
  }

  /** Where it is now: `moveTo` changes it. */
  get address(): string {
    return this.#address;
  }

  /**
   * argv that runs a program on this host; each word execs the next, so the pid stays. Where `ip`
   * was unpacked, its wrapper's library path must not reach the program: the program could find
   * libraries there that it lacks on a user's machine.
   */
  on(...argv: string[]): string[] {
    const clean = ['env', '--unset=LD_LIBRARY_PATH'];
    return [this.#tools.ip, 'netns', 'exec', this.ns, ...clean, ...argv];
  }

  /**
   * The same for what has to see the machine's cgroups, which `ip netns exec` hides under a /sys of
   * its own. What it mounts is seen by its children alone, and goes with them.
   */
  onWithCgroups(...argv: string[]): string[] {
    const apart = ['unshare', '--mount', '--propagation', 'private'];
    return [...apart, 'nsenter', `--net=/run/netns/${this.ns}`, '--', ...argv];
  }

  run(argv: readonly string[], options?: RunOptions): Promise<Output> {
    return run(this.on(...argv), options);
  }

  /** curl as a program of this host, e.g. to ask 127.0.0.1 there. Node cannot enter a namespace. */
  async curl(...args: string[]): Promise<string> {
    return (await this.run([this.#tools.curl, '--silent', '--show-error', ...args])).stdout;
  }

  /** Pulls the cable: no carrier here, and nothing arrives any more. */
  async unplug(): Promise<void> {
    await this.#setLink('down');
  }

  async plug(): Promise<void> {
    await this.#setLink('up');
    await this.linked();
  }

  async #setLink(state: 'up' | 'down'): Promise<void> {
    const { switchNs, switchPort } = this.#place;
    await run([this.#tools.ip, '-n', switchNs, 'link', 'set', switchPort, state]);
  }

  /**
   * Waits until the bridge forwards. The kernel looks at carriers once a second: later than one
   * thinks.
   */
  linked(): Promise<void> {
    const { switchNs, switchPort } = this.#place;
    const state = `/sys/class/net/${switchPort}/brport/state`;
    const FORWARDING = '3';
    return waitUntil(`the link of ${this.ns} is up`, async () => {
      const { stdout } = await run([this.#tools.ip, 'netns', 'exec', switchNs, 'cat', state]);
      return stdout.trim() === FORWARDING;
    });
  }

  /** Limits the link in both directions, in tc's words: '100mbit'. */
  async rate(bandwidth: string): Promise<void> {
    const shape = ['root', 'tbf', 'rate', bandwidth, 'burst', '100kb', 'latency', '50ms'];
    await run([this.#tools.tc, '-n', this.ns, 'qdisc', 'replace', 'dev', 'eth0', ...shape]);
    const { switchNs, switchPort } = this.#place;
    await run([this.#tools.tc, '-n', switchNs, 'qdisc', 'replace', 'dev', switchPort, ...shape]);
  }

  /** Bytes this host has sent over its link since it exists, headers included. */
  async bytesSent(): Promise<number> {
    const { stdout } = await this.run(['cat', '/sys/class/net/eth0/statistics/tx_bytes']);
    return Number(stdout);
  }

  /** Resets (RST) all established connections of a local port, now and once. */
  async reset(port: number): Promise<void> {
    await this.run([
      this.#tools.ss,
      '--kill',
      '--tcp',
      'state',
      'established',
      `( sport = :${port} )`,
    ]);
  }

  /**
   * What comes to a local TCP port is answered with RST ('reset') or lost without a word ('drop',
   * what the port says is lost too). Undo with the function returned.
   */
  async filter(port: number, fate: 'reset' | 'drop'): Promise<() => Promise<void>> {
    const verdict = fate === 'drop' ? 'drop' : 'reject with tcp reset';
    const chain = (hook: string, match: string) =>
      `chain ${hook} { type filter hook ${hook} priority 0; policy accept; tcp ${match} ${port} ${verdict}; };`;
    const output = fate === 'drop' ? chain('output', 'sport') : '';
    return this.#table(`${chain('input', 'dport')} ${output}`);
  }

  /**
   * What this host sends to a TCP port of another is answered with RST ('reset') or lost without a
   * word ('drop'), also on connections that are open; 'refuse' is a reset of new ones alone. Undo
   * with the function returned.
   */
  async bar(
    address: string,
    port: number,
    fate: 'reset' | 'drop' | 'refuse',
  ): Promise<() => Promise<void>> {
    const verdict = fate === 'drop' ? 'drop' : 'reject with tcp reset';
    const match = fate === 'refuse' ? 'tcp flags & (syn | ack) == syn' : '';
    const rule = `ip daddr ${address} tcp dport ${port} ${match} ${verdict}`;
    return this.#table(
      `chain output { type filter hook output priority 0; policy accept; ${rule}; };`,
    );
  }

  /**
   * Neither hears nor reaches these hosts any more, also on connections that are open; the rest of
   * the network stays. Undo with the function returned.
   */
  async partFrom(others: readonly NetHost[]): Promise<() => Promise<void>> {
    const theirs = `{ ${others.map(({ address }) => address).join(', ')} }`;
    const chain = (hook: string, end: string) =>
      `chain ${hook} { type filter hook ${hook} priority 0; policy accept; ip ${end} ${theirs} drop; };`;
    return this.#table(`${chain('input', 'saddr')} ${chain('output', 'daddr')}`);
  }

  /**
   * So many per cent of the packets that arrive here are lost, by chance. Undo with the function
   * returned.
   */
  lose(percent: number): Promise<() => Promise<void>> {
    const rule = `iifname "eth0" numgen random mod 100 < ${percent} drop`;
    return this.#table(
      `chain input { type filter hook input priority 0; policy accept; ${rule}; };`,
    );
  }

  async #table(chains: string): Promise<() => Promise<void>> {
    const table = `lab${this.#filters++}`;
    await this.run([this.#tools.nft, `add table inet ${table} { ${chains} }`]);
    return async () => {
      await this.run([this.#tools.nft, `delete table inet ${table}`]);
    };
  }

  /** Gets another IPv4 address in place of the one it has, as a new lease of DHCP brings it. */
  async moveTo(address: string, gateway: string): Promise<void> {
    const ip = (...args: string[]) => run([this.#tools.ip, '-n', this.ns, ...args]);
    await ip('addr', 'flush', 'dev', 'eth0', 'scope', 'global');
    await ip('addr', 'add', `${address}/24`, 'dev', 'eth0');
    await ip('route', 'add', 'default', 'via', gateway);
    this.#address = address;
  }

  /** Takes the addresses of one family away; fe80 is left. */
  async without(family: 4 | 6): Promise<void> {
    const ip = (...args: string[]) => run([this.#tools.ip, '-n', this.ns, `-${family}`, ...args]);
    await ip('route', 'del', 'default');
    await ip('addr', 'flush', 'dev', 'eth0', 'scope', 'global');
  }

  /**
   * Limits what this host sends, in tc's words, and what it sends to one other host further. In
   * place of rate().
   */
  async rateTo(other: NetHost, { all, one }: { readonly all: string; readonly one: string }) {
    const tc = (...args: string[]) => run([this.#tools.tc, '-n', this.ns, ...args]);
    const on = ['dev', 'eth0'];
    await tc('qdisc', 'replace', ...on, 'root', 'handle', '1:', 'htb', 'default', '10');
    for (const [id, bandwidth] of [
      ['1:10', all],
      ['1:20', one],
    ] as const) {
      const shape = ['htb', 'rate', bandwidth, 'burst', '100kb'];
      await tc('class', 'add', ...on, 'parent', '1:', 'classid', id, ...shape);
    }
    const match = ['u32', 'match', 'ip', 'dst', other.address, 'flowid', '1:20'];
    await tc('filter', 'add', ...on, 'parent', '1:', 'protocol', 'ip', ...match);
  }

  /** docker0 with a container on it: without one it has no carrier, and is not announced. */
  async addDockerBridge(): Promise<void> {
    const ip = (...args: string[]) => run([this.#tools.ip, '-n', this.ns, ...args]);
    await ip('link', 'add', 'docker0', 'type', 'bridge');
    await ip('addr', 'add', '172.17.0.1/16', 'dev', 'docker0');
    await ip('link', 'add', 'vethd', 'type', 'veth', 'peer', 'name', 'vethc');
    await ip('link', 'set', 'vethd', 'master', 'docker0', 'up');
    await ip('link', 'set', 'vethc', 'up');
    await ip('link', 'set', 'docker0', 'up');
  }

  /**
   * Gives the host a default route that leads nowhere, as k3s advises for hosts without one: over
   * an interface that swallows every packet. It is an end of a veth pair, since not every kernel
   * has dummy interfaces. Returns its address.
   */
  async addDeadRoute(family: 4 | 6 = 4): Promise<string> {
    const ip = (...args: string[]) => run([this.#tools.ip, '-n', this.ns, `-${family}`, ...args]);
    const [address, length, gateway] =
      family === 4 ? ['203.0.113.254', 31, '203.0.113.255'] : ['2001:db8::2', 127, '2001:db8::3'];
    await ip('link', 'add', 'dummy0', 'type', 'veth', 'peer', 'name', 'nowhere');
    for (const end of ['dummy0', 'nowhere']) await ip('link', 'set', end, 'arp', 'off', 'up');
    const once = family === 6 ? ['nodad'] : [];
    await ip('addr', 'add', `${address}/${length}`, 'dev', 'dummy0', ...once);
    await ip('route', 'del', 'default');
    await ip('route', 'add', 'default', 'via', gateway, 'dev', 'dummy0');
    return address;
  }

  /** A second interface on the same bridge, with an address of another network: `10.88.1.2/24`. */
  async addInterface(name: string, address: string): Promise<void> {
    const { switchNs, switchPort } = this.#place;
    const port = `${switchPort}${name}`;
    const ip = (...args: string[]) => run([this.#tools.ip, '-n', this.ns, ...args]);
    const peer = ['peer', 'name', port, 'netns', switchNs];
    await ip('link', 'add', name, 'type', 'veth', ...peer);
    await run([this.#tools.ip, '-n', switchNs, 'link', 'set', port, 'master', 'br0', 'up']);
    await ip('addr', 'add', address, 'dev', name);
    await ip('link', 'set', name, 'up');
  }

  /** Adds a route of its own, in ip's words: `203.0.113.254 via 10.87.1.3`. */
  async addRoute(...route: string[]): Promise<void> {
    await run([this.#tools.ip, '-n', this.ns, 'route', 'add', ...route]);
  }
}
