import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Instruments } from '../base/instruments.ts';
import type { Logger } from '../base/log.ts';
import { PEER_HEADER, VIA_HEADER } from '../base/spegel-headers.ts';
import { OwnAddresses } from '../http/own-addresses.ts';
import type { ConnectedClient } from '../http/server.ts';
import type { Mirror } from '../mirror/mirror.ts';
import type { NetworkKeys } from '../network-key/network-key.ts';
import { type DistributionRequest, parseDistributionUrl } from '../oci/distribution.ts';
import { type FilterSettings, passes } from '../oci/filters.ts';
import type { ContentStore, InflightSources } from '../store/store.ts';
import type { TagDecider } from '../upstream/tag-decision.ts';
import { answerBlob } from './blobs.ts';
import { type Call, sendError, sendWhole } from './call.ts';
import { Clients, type MirrorClients } from './clients.ts';
import { InflightContent } from './inflight.ts';
import { LocalContent, ManifestBudget } from './local.ts';
import { answerManifest, MissedManifests } from './manifests.ts';
import { RequestMetrics } from './metrics.ts';

export interface RegistryParts {
  readonly store: ContentStore;
  readonly mirror: Mirror;
  /** Whether this host and the fleet may say what a tag means. */
  readonly tagDecider: TagDecider;
  readonly log: Logger;
  readonly instruments: Instruments;
  /** This node's libp2p peer id, for the header that tells a peer which host it has reached. */
  readonly peerId: string;
  /** Content that containerd is still downloading; undefined: in-flight sharing is off. */
  readonly inflight?: InflightSources | undefined;
  /**
   * With keys the network is closed: a peer, and a client that is not mirrored, needs a signature.
   */
  readonly networkKeys?: NetworkKeys | undefined;
  /** Which client addresses are this host's; tests give it. */
  readonly own?: { has(address: string | undefined): boolean };
}

export interface RegistrySettings {
  readonly filters: FilterSettings;
  readonly parallelFetch: boolean;
  readonly mirrorClients: MirrorClients;
  /** How long in-flight content may get no bytes before it ends its readers. */
  readonly standStillMs: number;
}

/** The OCI registry for containerd and the peers: `/v2/`, read-only, and the health checks. */
export class Registry {
  readonly #parts: RegistryParts;
  readonly #settings: RegistrySettings;
  readonly #clients: Clients;
  readonly #local: LocalContent;
  readonly #missed: MissedManifests;
  readonly #budget = new ManifestBudget();
  readonly #metrics: RequestMetrics;
  readonly #inflight: InflightContent | undefined;

  constructor(parts: RegistryParts, settings: RegistrySettings) {
    this.#parts = parts;
    this.#settings = settings;
    const { log, own = new OwnAddresses(), networkKeys } = parts;
    this.#clients = new Clients({ log, own, networkKeys }, settings.mirrorClients);
    this.#local = new LocalContent(parts);
    this.#missed = new MissedManifests({ local: this.#local, mirror: parts.mirror });
    this.#metrics = new RequestMetrics(parts.instruments);
    const { inflight: content, instruments } = parts;
    const { standStillMs } = settings;
    this.#inflight = content && new InflightContent({ content, instruments, standStillMs });
  }

  /**
   * A handler for HttpServer. Resolves when the answer is complete; the signal is aborted when the
   * client is gone.
   */
  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
    client: ConnectedClient,
  ): Promise<void> {
    const url = request.url ?? '/';
    const probe = PROBES.get(url.split('?', 1)[0] ?? '');
    const { release, ...requester } = this.#clients.enter(request, client, probe !== undefined);
    const { log, peerId } = this.#parts;
    if (requester.prove !== undefined) client.markProven();
    try {
      response.setHeader(PEER_HEADER, peerId);
      await this.#handle({ ...requester, request, response, signal, log }, url, probe);
    } finally {
      release();
    }
  }

  async #handle(call: Call, url: string, probe: Probe | undefined): Promise<void> {
    const { request, denied } = call;
    const isParsed = probe === undefined && denied === undefined;
    const parsed = isParsed ? parseDistributionUrl(url) : undefined;
    const handler = probe ?? (parsed !== undefined && 'kind' in parsed ? parsed.kind : 'none');
    await this.#metrics.around(call, handler, parsed, async () => {
      if (denied !== undefined) sendDenied(call, denied);
      else if (request.method !== 'GET' && request.method !== 'HEAD') sendReadOnly(call);
      else if (probe !== undefined) this.#probe(call, probe);
      else if (parsed !== undefined) await this.#answer(call, parsed);
    });
  }

  async #answer(call: Call, parsed: ReturnType<typeof parseDistributionUrl>): Promise<void> {
    const parts = {
      ...this.#parts,
      ...this.#settings,
      local: this.#local,
      missed: this.#missed,
      budget: this.#budget,
      inflight: this.#inflight,
    };
    if ('code' in parsed) {
      // Not 400: a sha512 digest is right for its registry, and after a 404 containerd asks there.
      sendError(call, 404, parsed.code, parsed.message);
    } else if (parsed.kind === 'base') {
      sendBase(call);
    } else if (!passes(this.#settings.filters, nameOf(parsed))) {
      sendError(call, 404, 'NAME_UNKNOWN', `${parsed.registry}/${parsed.repository} is filtered`);
    } else {
      const { registry, repository } = parsed;
      const isResolved = call.isHostsContainerd && 'digest' in parsed.target;
      await Promise.all([
        parsed.kind === 'manifest'
          ? answerManifest(parts, call, parsed)
          : answerBlob(parts, call, parsed),
        // Noted while the request runs: once it is answered, the pull may be over.
        isResolved ? this.#parts.tagDecider.markResolved(registry, repository) : undefined,
      ]);
    }
  }

  /**
   * Ready when the store has been read. That the registry listens is shown by the request itself,
   * and a host without peers serves its own content.
   */
  #probe(call: Call, probe: Probe): void {
    const isReady = probe === 'livez' || this.#parts.store.isReady();
    const text = isReady ? 'ok' : 'the content store has not been read';
    sendWhole(call, isReady ? 200 : 503, { 'Content-Type': 'text/plain' }, text);
  }
}

type Probe = 'livez' | 'readyz';

const PROBES: ReadonlyMap<string, Probe> = new Map([
  ['/livez', 'livez'],
  ['/readyz', 'readyz'],
  ['/healthz', 'readyz'],
]);

function nameOf(request: Exclude<DistributionRequest, { kind: 'base' }>) {
  const { registry, repository, target } = request;
  return 'tag' in target ? { registry, repository, tag: target.tag } : { registry, repository };
}

function sendDenied(call: Call, denied: string): void {
  call.refusal?.log();
  const why = call.refusal === undefined ? denied : `${denied}; ${call.refusal.reason}`;
  sendError(call, 403, 'DENIED', `spegel: closed network: ${why}`);
}

/**
 * Answers the base of the API: 200 says that this is a registry, and to a login that its password
 * is right. A login asks the hosts of a hosts.toml until one takes it, so it must fail here:
 * otherwise any password would be right.
 */
function sendBase(call: Call): void {
  const { headers } = call.request;
  const isLogin = headers[VIA_HEADER.toLowerCase()] !== undefined || 'authorization' in headers;
  if (isLogin) sendError(call, 404, 'UNSUPPORTED', 'spegel: a login is for the registry to judge');
  else sendWhole(call, 200, { 'Content-Type': 'application/json' }, '{}');
}

/** Leaves the connection open: to close it during an upload would reset it. */
function sendReadOnly(call: Call): void {
  const headers = { Allow: 'GET, HEAD' };
  sendError(call, 405, 'UNSUPPORTED', 'only GET and HEAD are supported', { headers });
}
