import { randomBytes } from 'node:crypto';
import type { networkInterfaces } from 'node:os';
import { delay } from '../base/abortable.ts';
import { BoundedMap } from '../base/bounded-map.ts';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { Bootstrapper, OwnMultiaddrs } from './bootstrapper.ts';
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
  /** This host's; tests say so. */
  readonly interfaces?: typeof networkInterfaces;
}

export interface MdnsBootstrapperSettings {
  /** 5353 unless a test wants to be alone. */
  readonly port?: number;
}

const MDNS_PORT = 5353;
/**
 * How long a peer is remembered. A node that has peers asks every 150 to 450 s; a peer that was
 * forgotten before answers the next question.
 */
const FORGET_MS = 400_000;
const MAX_PEERS = 1_024;
const MAX_ADDRESSES = 8;
/** How soon a new interface or address of this host is noticed. */
const UPDATE_MS = 5_000;
/**
 * RFC 6762, 6: the same record goes out once a second at most, and not at the very moment the
 * others' do.
 */
const ANSWER_GAP_MS = 1_000;
const ANSWER_DELAY_MS = { min: 20, max: 120 };
const QUESTION_GAP_MS = 1_000;
/**
 * How many answers a question brings about in a large LAN: all of several hundred hosts' would be a
 * storm.
 */
const ANSWERS = 16;
/** What many hosts that are switched on say at once is one change. */
const CHANGED_MS = 200;

/**
 * Finds the nodes on the same links by multicast DNS, in the messages of libp2p's mDNS. Not by
 * @libp2p/mdns: that asks every ten seconds for ever and has everybody answer each time, tells
 * private addresses only, uses the interface of the default route alone, and leaves socket errors
 * unheard while it stops, which ends the process.
 */
export class MdnsBootstrapper implements Bootstrapper {
  readonly kind = 'mdns';
  readonly #log: Logger;
  readonly #own: OwnMultiaddrs;
  readonly #links: MdnsLinks;
  /** Random, as the specification asks: it only has to differ from the others'. */
  readonly #name = randomBytes(16).toString('hex');
  readonly #peers = new BoundedMap<string, { addresses: readonly string[]; heardAt: number }>(
    MAX_PEERS,
  );
  readonly #stop = new AbortController();
  #changed: () => void = () => {};
  #changing: NodeJS.Timeout | undefined;
  #answering: NodeJS.Timeout | undefined;
  #answeredAt = Number.NEGATIVE_INFINITY;
  #askedAt = Number.NEGATIVE_INFINITY;
  #told = '';
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

  /** The peers heard of lately. Asks the links as well; their answers come with `changed`. */
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
      await delay(UPDATE_MS, signal).catch(() => {});
    }
    this.#isOver = true;
    clearTimeout(this.#changing);
    clearTimeout(this.#answering);
    await this.#tell(true);
    await this.#links.close();
  }

  #update(): void {
    const isNew = this.#links.update();
    const own = this.#own().join();
    // Unasked, so that the peers on a link hear of a new address or of a node that is new there.
    if (own !== '' && (isNew || own !== this.#told)) this.#answer();
    this.#told = own;
    if (isNew) this.#ask();
  }

  /** Announces this node on the links, or with `isLeaving` that it goes. Never rejects. */
  async #tell(isLeaving = false): Promise<void> {
    try {
      const own = this.#own();
      if (own.length > 0) await this.#links.respond(mdnsRecordsOf(this.#name, own, isLeaving));
    } catch (error) {
      this.#log.error('mdns cannot tell of this node', { error: messageOf(error) });
    }
  }

  #ask(): void {
    const now = performance.now();
    if (this.#running === undefined || this.#isOver || now < this.#askedAt + QUESTION_GAP_MS)
      return;
    this.#askedAt = now;
    this.#links.query(MDNS_SERVICE);
  }

  #answer(): void {
    if (this.#answering !== undefined || this.#isOver) return;
    const { min, max } = ANSWER_DELAY_MS;
    const earliest = this.#answeredAt + ANSWER_GAP_MS - performance.now();
    const wait = Math.max(min + Math.random() * (max - min), earliest);
    this.#answering = setTimeout(() => {
      this.#answering = undefined;
      this.#answeredAt = performance.now();
      void this.#tell();
    }, wait);
  }

  #onPacket(packet: Packet, from: MdnsSender): void {
    if (packet.type === 'query') {
      if (!isQuestion(packet.questions ?? [])) return;
      // Other nodes answer as well, and a node without peers asks again.
      if (Math.random() * this.#peers.size < ANSWERS) this.#answer();
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
    // Each link brings the address it was sent from; one that the peer has left costs a dial.
    const all = new Set([...addresses, ...(known?.addresses ?? [])]);
    const kept = [...all].slice(0, MAX_ADDRESSES);
    this.#peers.set(id, { addresses: kept, heardAt: performance.now() });
    if (addresses.every((address) => known?.addresses.includes(address))) return;
    this.#changing ??= setTimeout(() => {
      this.#changing = undefined;
      this.#changed();
    }, CHANGED_MS);
  }

  #forget(): void {
    const oldest = performance.now() - FORGET_MS;
    for (const [id, { heardAt }] of this.#peers) if (heardAt < oldest) this.#peers.delete(id);
  }
}
