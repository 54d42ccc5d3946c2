/** Metric instruments as the parts see them. metrics/ makes one set for each daemon. */
export type Labels = Record<string, string>;

export interface Counter {
  inc(labels: Labels, value?: number): void;
}

export interface Gauge {
  set(labels: Labels, value: number): void;
}

export interface Histogram {
  observe(labels: Labels, value: number): void;
}

/** Names and labels of the first group are Go Spegel's, so that its dashboards work. */
export interface Instruments {
  /** spegel_mirror_requests_total {registry, cache: hit|miss, source: internal|external} */
  readonly mirrorRequests: Counter;
  /** spegel_mirror_last_success_timestamp_seconds {} */
  readonly mirrorLastSuccess: Gauge;
  /** spegel_resolve_duration_seconds {router}: request to first candidate. */
  readonly resolveDuration: Histogram;
  /**
   * spegel_advertised_images {registry}, _image_tags {registry}, _image_digests {registry}, _keys
   * {registry}
   */
  readonly advertisedImages: Gauge;
  readonly advertisedImageTags: Gauge;
  readonly advertisedImageDigests: Gauge;
  readonly advertisedKeys: Gauge;
  /**
   * http_request_duration_seconds {handler, method, code}, http_response_size_bytes {handler,
   * method, code}, http_requests_inflight {handler}
   */
  readonly requestDuration: Histogram;
  readonly responseSize: Histogram;
  readonly requestsInflight: Gauge;

  /**
   * spegel_served_bytes_total {source: internal|external, result: complete|aborted}: bodies from
   * the local store.
   */
  readonly servedBytes: Counter;
  /**
   * spegel_relayed_bytes_total {result: complete|cut|aborted}: bodies from peers passed to
   * containerd.
   */
  readonly relayedBytes: Counter;
  /**
   * spegel_relay_handovers_total {reason: silent|reset|short|stalled|slow|…}: a body, or a late
   * chunk of it, continued from another peer.
   */
  readonly handovers: Counter;
  /**
   * spegel_peer_requests_total {result: ok|refused|silent|unreachable|invalid}: single requests to
   * peers.
   */
  readonly peerRequests: Counter;
  /**
   * spegel_inflight_served_bytes_total {result: complete|aborted}: bodies sent to peers while this
   * host still downloaded them.
   */
  readonly inflightServedBytes: Counter;
  /**
   * spegel_inflight_waits_total {result: served|vain}: requests that waited for a peer that still
   * downloaded the content.
   */
  readonly inflightWaits: Counter;
  /**
   * spegel_inflight_leads_total {}: requests sent upstream for the fleet, since no host had or
   * downloaded the content.
   */
  readonly inflightLeads: Counter;
  /**
   * spegel_inflight_reassignments_total {reason}: bodies for which the tracker was asked for
   * another source.
   */
  readonly inflightReassignments: Counter;
  /**
   * spegel_upstream_failures_total {registry, reason}: pulls of a tag that failed upstream for
   * containerd, and the reason as far as this host knows it.
   */
  readonly upstreamFailures: Counter;
  /**
   * spegel_mirror_settings {state: present|absent|left_alone|failed}: containerd's hosts.toml files
   * at the last look; failed is 1 when they could not be seen, or not be put back.
   */
  readonly mirrorSettings: Gauge;
  /** spegel_peers {}: peers in the routing table. */
  readonly peers: Gauge;
  /**
   * spegel_identity_conflict {}: 1 while another process is seen that has this host's identity key.
   */
  readonly identityConflict: Gauge;
}
