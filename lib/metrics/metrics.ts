import type { IncomingMessage, ServerResponse } from 'node:http';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Instruments } from '../base/instruments.ts';

/**
 * Upper bounds of a histogram: `first`, and `count - 1` more, each `factor` times the one before.
 */
function exponentialBuckets(first: number, factor: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => first * factor ** index);
}

/**
 * From 1 KiB to 2 GB, as in Go Spegel. Histograms with other buckets could not be added to those of
 * its nodes.
 */
const RESPONSE_SIZE_BUCKETS = exponentialBuckets(1024, 5, 10);

/**
 * Go Spegel's buckets (the default, 5 ms to 10 s), and finer ones below: a lookup with a result
 * takes 1 to 2 ms.
 */
const RESOLVE_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * Pause between two measurements of the event loop's delay. prom-client's default of 10 ms wakes an
 * idle host a hundred times a second.
 */
const EVENT_LOOP_PRECISION_MS = 100;

/** An answer of the metrics port. */
export interface MetricsText {
  readonly contentType: string;
  readonly body: string;
}

/** The metrics of one daemon. Several daemons in one process do not share any. */
export class Metrics {
  readonly #registry = new Registry();
  readonly instruments: Instruments;

  constructor() {
    collectDefaultMetrics({
      register: this.#registry,
      eventLoopMonitoringPrecision: EVENT_LOOP_PRECISION_MS,
    });
    this.instruments = { ...this.#goInstruments(), ...this.#ownInstruments() };
  }

  /** Answers `GET /metrics`, and 404 to other paths. */
  readonly handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.url?.split('?')[0] !== '/metrics') {
      response.writeHead(404, { 'Content-Type': 'text/plain' }).end('see /metrics\n');
      return;
    }
    const { contentType, body } = await this.text();
    response.writeHead(200, { 'Content-Type': contentType }).end(body);
  };

  /** All metrics in the text format of Prometheus. */
  async text(): Promise<MetricsText> {
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() };
  }

  /** Names, labels and buckets are those of Go Spegel. */
  #goInstruments() {
    const http = ['handler', 'method', 'code'] as const;
    return {
      mirrorRequests: this.#counter(
        'spegel_mirror_requests_total',
        'Total number of mirror requests.',
        ['registry', 'cache', 'source'],
      ),
      mirrorLastSuccess: this.#gauge(
        'spegel_mirror_last_success_timestamp_seconds',
        'The timestamp of the last successful mirror request.',
      ),
      resolveDuration: this.#histogram(
        'spegel_resolve_duration_seconds',
        'The duration for router to resolve a peer.',
        ['router'],
        RESOLVE_BUCKETS,
      ),
      advertisedImages: this.#gauge(
        'spegel_advertised_images',
        'Number of images advertised to be available.',
        ['registry'],
      ),
      advertisedImageTags: this.#gauge(
        'spegel_advertised_image_tags',
        'Number of image tags advertised to be available.',
        ['registry'],
      ),
      advertisedImageDigests: this.#gauge(
        'spegel_advertised_image_digests',
        'Number of image digests advertised to be available.',
        ['registry'],
      ),
      advertisedKeys: this.#gauge(
        'spegel_advertised_keys',
        'Number of keys advertised to be available.',
        ['registry'],
      ),
      requestDuration: this.#histogram(
        'http_request_duration_seconds',
        'The latency of the HTTP requests.',
        http,
      ),
      responseSize: this.#histogram(
        'http_response_size_bytes',
        'The size of the HTTP responses.',
        http,
        RESPONSE_SIZE_BUCKETS,
      ),
      requestsInflight: this.#gauge(
        'http_requests_inflight',
        'The number of inflight requests being handled at the same time.',
        ['handler'],
      ),
    };
  }

  #ownInstruments() {
    return {
      servedBytes: this.#counter(
        'spegel_served_bytes_total',
        'Bytes of content that this host served from its own store.',
        ['source', 'result'],
      ),
      relayedBytes: this.#counter(
        'spegel_relayed_bytes_total',
        'Bytes of content that peers sent and this host passed on to containerd.',
        ['result'],
      ),
      handovers: this.#counter(
        'spegel_relay_handovers_total',
        'Transfers that another peer continued.',
        ['reason'],
      ),
      peerRequests: this.#counter('spegel_peer_requests_total', 'Requests to peers.', ['result']),
      inflightServedBytes: this.#counter(
        'spegel_inflight_served_bytes_total',
        'Bytes sent to peers of content that this host was still downloading.',
        ['result'],
      ),
      inflightWaits: this.#counter(
        'spegel_inflight_waits_total',
        'Requests that waited for content that a peer was still downloading.',
        ['result'],
      ),
      inflightLeads: this.#counter(
        'spegel_inflight_leads_total',
        'Requests that this host sent upstream on behalf of the fleet.',
        [],
      ),
      inflightReassignments: this.#counter(
        'spegel_inflight_reassignments_total',
        'Transfers for which this host asked the tracker for another source.',
        ['reason'],
      ),
      upstreamFailures: this.#counter(
        'spegel_upstream_failures_total',
        'Pulls of a tag that failed because of the upstream registry.',
        ['registry', 'reason'],
      ),
      mirrorSettings: this.#gauge(
        'spegel_mirror_settings',
        "Files of containerd's mirror settings by their state.",
        ['state'],
      ),
      peers: this.#gauge('spegel_peers', 'Peers in the routing table.'),
      identityConflict: this.#gauge(
        'spegel_identity_conflict',
        '1 while another host uses the identity key of this host.',
      ),
    };
  }

  #counter(name: string, help: string, labelNames: readonly string[]): Counter<string> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] });
  }

  #gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge<string> {
    return new Gauge({ name, help, labelNames, registers: [this.#registry] });
  }

  #histogram(
    name: string,
    help: string,
    labelNames: readonly string[],
    buckets?: number[],
  ): Histogram<string> {
    const bounds = buckets === undefined ? {} : { buckets };
    return new Histogram({ name, help, labelNames, ...bounds, registers: [this.#registry] });
  }
}
