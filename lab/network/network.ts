/**
 * Hosts with addresses of their own: one network namespace each, joined by a bridge.
 *
 * The bridge lives in a namespace of its own, "switch": a Docker on the machine (bridge-nf and a
 * FORWARD policy of DROP) cannot get between the hosts, and deleting it removes the whole network.
 * The test process is on the same network at `.1`, so Node can talk to every host directly.
 * The default route leads to the switch, which knows no way further: packets for the outside end
 * there with "network unreachable", at once.
 */
import { run } from '../processes/exec.ts';
import type { LabTools } from '../programs/programs.ts';
import { NetHost } from './nethost.ts';
import { claimSlot, namespacePrefix, releaseSlot, type Slot } from './slots.ts';

/** Last octets. Hosts count from FIRST_HOST. */
const TEST_PROCESS = 1;
const GATEWAY = 254;
const FIRST_HOST = 2;
const LAST_HOST = 240;

export interface NetworkOptions {
  /** Also addresses fd87:<lab>::<n>/64. */
  readonly ipv6?: boolean;
  /** A bridge 172.17.0.1/16 on every host, as Docker makes it: the same address everywhere. */
  readonly dockerBridge?: boolean;
}

export class Network {
  readonly slot: Slot;
  readonly #tools: LabTools;
  readonly #options: NetworkOptions;
  #next = FIRST_HOST;

  private constructor(tools: LabTools, slot: Slot, options: NetworkOptions) {
    this.#tools = tools;
    this.slot = slot;
    this.#options = options;
  }

  static async create(tools: LabTools, options: NetworkOptions = {}): Promise<Network> {
    const network = new Network(tools, await claimSlot(tools.ip), options);
    try {
      await network.#makeSwitch();
      return network;
    } catch (error) {
      await network.dispose();
      throw error;
    }
  }

  get #switch(): string {
    return `${namespacePrefix(this.slot.number)}switch`;
  }

  address(octet: number): string {
    return `10.87.${this.slot.number}.${octet}`;
  }

  address6(octet: number): string {
    return `fd87:${this.slot.number}::${octet}`;
  }

  /** Of the default route. */
  get gateway(): string {
    return this.address(GATEWAY);
  }

  /** Where the test process itself is seen coming from. */
  get testAddress(): string {
    return this.address(TEST_PROCESS);
  }

  #ip(...args: string[]): Promise<unknown> {
    return run([this.#tools.ip, ...args]);
  }

  async #makeSwitch(): Promise<void> {
    const name = this.#switch;
    const uplink = `sglab${this.slot.number}`;
    await this.#ip('netns', 'add', name);
    // Forwarding is what makes it answer "unreachable"; it has no route but its own network.
    await run([
      this.#tools.ip,
      'netns',
      'exec',
      name,
      'sh',
      '-c',
      'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding',
    ]);
    await this.#ip('-n', name, 'link', 'set', 'lo', 'up');
    await this.#ip('-n', name, 'link', 'add', 'br0', 'type', 'bridge');
    await this.#ip('-n', name, 'link', 'set', 'br0', 'up');
    await this.#ip('-n', name, 'addr', 'add', `${this.address(GATEWAY)}/24`, 'dev', 'br0');
    await this.#ip('link', 'add', uplink, 'type', 'veth', 'peer', 'name', 'test', 'netns', name);
    await this.#ip('-n', name, 'link', 'set', 'test', 'master', 'br0', 'up');
    await this.#ip('addr', 'add', `${this.testAddress}/24`, 'dev', uplink);
    await this.#ip('link', 'set', uplink, 'up');
    if (this.#options.ipv6) {
      await this.#ip(
        '-n',
        name,
        'addr',
        'add',
        `${this.address6(GATEWAY)}/64`,
        'dev',
        'br0',
        'nodad',
      );
      await this.#ip('addr', 'add', `${this.address6(TEST_PROCESS)}/64`, 'dev', uplink, 'nodad');
    }
  }

  /** A new host; `name` is for people, unique within the lab and at most 10 characters. */
  async addHost(name: string): Promise<NetHost> {
    const octet = this.#next++;
    if (octet > LAST_HOST) throw new Error('no addresses left in this lab');
    const ns = namespacePrefix(this.slot.number) + name;
    const port = `p${octet}`;
    await this.#ip('netns', 'add', ns);
    await this.#ip('-n', ns, 'link', 'set', 'lo', 'up');
    await this.#ip(
      '-n',
      ns,
      'link',
      'add',
      'eth0',
      'type',
      'veth',
      'peer',
      'name',
      port,
      'netns',
      this.#switch,
    );
    await this.#ip('-n', this.#switch, 'link', 'set', port, 'master', 'br0', 'up');
    await this.#ip('-n', ns, 'addr', 'add', `${this.address(octet)}/24`, 'dev', 'eth0');
    await this.#ip('-n', ns, 'link', 'set', 'eth0', 'up');
    await this.#ip('-n', ns, 'route', 'add', 'default', 'via', this.address(GATEWAY));
    if (this.#options.ipv6) {
      await this.#ip('-n', ns, 'addr', 'add', `${this.address6(octet)}/64`, 'dev', 'eth0', 'nodad');
      await this.#ip('-n', ns, '-6', 'route', 'add', 'default', 'via', this.address6(GATEWAY));
    }
    const host = new NetHost(this.#tools, {
      ns,
      address: this.address(octet),
      address6: this.#options.ipv6 ? this.address6(octet) : undefined,
      switchNs: this.#switch,
      switchPort: port,
    });
    if (this.#options.dockerBridge) await host.addDockerBridge();
    return host;
  }

  /** Removes the network, and ends every process that still runs in one of its namespaces. */
  dispose(): Promise<void> {
    return releaseSlot(this.#tools.ip, this.slot);
  }
}
