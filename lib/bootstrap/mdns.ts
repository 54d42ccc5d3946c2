import { randomBytes } from 'node:crypto';
import type { networkInterfaces } from 'node:os';
import { delay } from '../base/abortable.ts';
import { BoundedMap } from '../base/bounded-map.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Bootstrapper, OwnMultiaddrs } from './bootstrapper.ts';
import {
  MAX_MDNS_ADDRESSES,
  MAX_MDNS_PEERS,
  MDNS_ANSWER_DELAY_MS,
  MDNS_ANSWER_GAP_MS,
  MDNS_ANSWERS,
  MDNS_CHANGE_MS,
  MDNS_PEER_MS,
  MDNS_QUESTION_GAP_MS,
  MDNS_UPDATE_MS,
} from './constants.ts';
import { MdnsLinks, type Packet } from './mdns-links.ts';
import {
  isQuestion,
  MDNS_SERVICE,
  type MdnsPeer,
  type MdnsSender,
  mdnsPeersIn,
  mdnsRecordsOf,
} from './mdns-message.ts';

export interface MdnsBootstrapperParts {
  readonly log: Logger;
  readonly own: OwnMultiaddrs;
  /** The interfaces of this host unless a test names others. */
  readonly interfaces?: typeof networkInterfaces;
}

export interface MdnsBootstrapperSettings {
  /** 5353 unless a test must not meet other responders. */
  readonly port?: number;
}

const MDNS_PORT = 5353;

/**
 * Finds the nodes on the same links by multicast DNS, with the messages of libp2p's mDNS. It does
 * not use @libp2p/mdns, which asks every ten seconds, has all nodes answer each time, tells private
 * addresses only, and uses only the interface of the default route. While it stops, a socket error
 * ends the process.
 */
export class MdnsBootstrapper implements Bootstrapper {
  readonly kind = 'mdns';
  readonly #log: Logger;
  readonly #own: OwnMultiaddrs;
  readonly #links: MdnsLinks;
  /** Random, as the specification asks: it must differ from the names of other nodes. */
  readonly #name = randomBytes(16).toString('hex');
  readonly #peers = new BoundedMap<string, { addresses: readonly string[]; heardAt: number }>(
    MAX_MDNS_PEERS,
  );
  readonly #stop = new AbortController();
  #changed: () => void = () => {};
  #changing: NodeJS.Timeout | undefined;
  #answering: NodeJS.Timeout | undefined;
  #answeredAt = Number.NEGATIVE_INFINITY;
  #askedAt = Number.NEGATIVE_INFINITY;
  #announced = '';
  #isOver = false;
  #running: Promise<void> | undefined;

  constructor(parts: MdnsBootstrapperParts, { port = MDNS_PORT }: MdnsBootstrapperSettings = {}) {
    const { log, interfaces } = parts;
    this.#log = log;
    this.#own = parts.own;
    const onPacket = (packet: Packet, from: MdnsSender) => this.#onPacket(packet, from);
    this.#links = new MdnsLinks({ log, onPacket, ...(interfaces && { interfaces }) }, port);
  }

  async start(signal: AbortSignal, changed: () => void): Promise<void> {
    if (this.#running !== undefined) return;
    this.#changed = changed;
    this.#running = this.#run(AbortSignal.any([signal, this.#stop.signal]));
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('bootstrapper stopped'));
    await this.#running;
  }

  /** The peers heard lately. Also asks the links; new answers lead to a call of `changed`. */
  async addresses(): Promise<readonly string[]> {
    this.#ask();
    this.#forget();
    return [...this.#peers].flatMap(([id, { addresses }]) =>
      addresses.map((address) => `${address}/p2p/${id}`),
    );
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        this.#update();
      } catch (error) {
        this.#log.error('mdns failed, going on', { error: messageOf(error) });
      }
      await delay(MDNS_UPDATE_MS, signal).catch(() => {});
    }
    this.#isOver = true;
    clearTimeout(this.#changing);
    clearTimeout(this.#answering);
    await this.#announce(true);
    await this.#links.close();
  }

  #update(): void {
    const isNew = this.#links.update();
    const own = this.#own().join();
    // Without a question, so that peers on the link hear of a new address or a new node.
    if (own !== '' && (isNew || own !== this.#announced)) this.#answer();
    this.#announced = own;
    if (isNew) this.#ask();
  }

  /** Announces this node on the links; with `isLeaving`, says goodbye. Never rejects. */
  async #announce(isLeaving = false): Promise<void> {
    try {
      const own = this.#own();
      if (own.length > 0) await this.#links.respond(mdnsRecordsOf(this.#name, own, isLeaving));
    } catch (error) {
      this.#log.error('mdns cannot tell of this node', { error: messageOf(error) });
    }
  }

  #ask(): void {
    const now = performance.now();
    if (this.#running === undefined || this.#isOver || now < this.#askedAt + MDNS_QUESTION_GAP_MS)
      return;
    this.#askedAt = now;
    this.#links.query(MDNS_SERVICE);
  }

  #answer(): void {
    if (this.#answering !== undefined || this.#isOver) return;
    const { min, max } = MDNS_ANSWER_DELAY_MS;
    const earliest = this.#answeredAt + MDNS_ANSWER_GAP_MS - performance.now();
    const wait = Math.max(min + Math.random() * (max - min), earliest);
    this.#answering = setTimeout(() => {
      this.#answering = undefined;
      this.#answeredAt = performance.now();
      void this.#announce();
    }, wait);
  }

  #onPacket(packet: Packet, from: MdnsSender): void {
    if (packet.type === 'query') {
      if (!isQuestion(packet.questions ?? [])) return;
      // About MDNS_ANSWERS of the nodes answer. A node that gets none asks again.
      if (Math.random() * this.#peers.size < MDNS_ANSWERS) this.#answer();
      return;
    }
    const records = [...(packet.answers ?? []), ...(packet.additionals ?? [])];
    for (const peer of mdnsPeersIn(records, from)) this.#heard(peer);
  }

  #heard({ id, addresses, leaves }: MdnsPeer): void {
    if (this.#isOver || this.#own().some((address) => address.endsWith(`/p2p/${id}`))) return;
    const known = this.#peers.get(id);
    this.#peers.delete(id);
    if (leaves || addresses.length === 0) return;
    // Each link adds the address that its packets came from. An old address costs only a dial.
    const all = new Set([...addresses, ...(known?.addresses ?? [])]);
    const kept = [...all].slice(0, MAX_MDNS_ADDRESSES);
    this.#peers.set(id, { addresses: kept, heardAt: performance.now() });
    if (addresses.every((address) => known?.addresses.includes(address))) return;
    this.#changing ??= setTimeout(() => {
      this.#changing = undefined;
      this.#changed();
    }, MDNS_CHANGE_MS);
  }

  #forget(): void {
    const oldest = performance.now() - MDNS_PEER_MS;
    for (const [id, { heardAt }] of this.#peers) if (heardAt < oldest) this.#peers.delete(id);
  }
}
