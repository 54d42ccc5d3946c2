import { BoundedLabels } from '../base/bounded-labels.ts';
import type { Instruments } from '../base/instruments.ts';
import type { DistributionProblem, DistributionRequest } from '../oci/distribution.ts';
import type { Call } from './call.ts';
import { MAX_LABELLED_REGISTRIES } from './constants.ts';

/** Measures requests, with Go Spegel's names and labels. */
export class RequestMetrics {
  readonly #instruments: Instruments;
  readonly #inflight = new Map<string, number>();
  /** Those that this host asked for: other hosts can write anything into `ns`. */
  readonly #registries = new BoundedLabels(MAX_LABELLED_REGISTRIES);

  constructor(instruments: Instruments) {
    this.#instruments = instruments;
  }

  /** Runs `work` and measures its answer. */
  async around(
    call: Call,
    handler: string,
    parsed: DistributionRequest | DistributionProblem | undefined,
    work: () => Promise<void>,
  ): Promise<void> {
    const startedAt = performance.now();
    this.#count(handler, 1);
    try {
      await work();
    } finally {
      this.#count(handler, -1);
      this.#observe(call, handler, performance.now() - startedAt);
      if (parsed !== undefined && 'registry' in parsed) this.#mirrored(call, parsed.registry);
    }
  }

  #count(handler: string, change: 1 | -1): void {
    const now = (this.#inflight.get(handler) ?? 0) + change;
    this.#inflight.set(handler, now);
    this.#instruments.requestsInflight.set({ handler }, now);
  }

  #observe({ request, response }: Call, handler: string, ms: number): void {
    const method = METHODS.includes(request.method ?? '') ? (request.method ?? '') : 'other';
    const labels = { handler, method, code: String(response.statusCode) };
    this.#instruments.requestDuration.observe(labels, ms / 1_000);
    const size = Number(response.getHeader('Content-Length') ?? 0);
    this.#instruments.responseSize.observe(labels, method === 'HEAD' ? 0 : size);
  }

  #mirrored(call: Call, registry: string): void {
    const isHit = call.response.headersSent && call.response.statusCode < 300;
    const source = sourceLabelOf(call);
    const labels = {
      registry:
        call.role === 'host' ? this.#registries.of(registry) : this.#registries.known(registry),
      cache: isHit ? 'hit' : 'miss',
      source,
    };
    this.#instruments.mirrorRequests.inc(labels);
    if (isHit && call.role === 'host')
      this.#instruments.mirrorLastSuccess.set({}, Date.now() / 1_000);
  }
}

/** Go Spegel's label `source`: `internal` for this host, `external` for any other. */
export function sourceLabelOf({ role }: Call): string {
  return role === 'host' ? 'internal' : 'external';
}

const METHODS: readonly string[] = ['GET', 'HEAD'];
