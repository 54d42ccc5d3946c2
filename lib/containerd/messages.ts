/** Messages of containerd's API as decoded: what the proto text in proto.ts names, in camel case. */

export interface Filters {
  /** Joined by OR; none: everything. Syntax: containerd, docs/content-flow.md and filters/filter.go. */
  readonly filters: readonly string[];
}

export interface Name {
  readonly name: string;
}

export interface DigestRequest {
  readonly digest: string;
}

export interface Namespaces {
  readonly namespaces: readonly Name[];
}

export interface Image {
  readonly name: string;
  /** Null where containerd sent none. */
  readonly target: {
    readonly mediaType: string;
    readonly digest: string;
    readonly size: number;
  } | null;
  readonly updatedAt: { readonly seconds: number; readonly nanos: number } | null;
}

export interface Images {
  readonly images: readonly Image[];
}

/** What keeps content from garbage collection, such as for a pull. */
export interface Lease {
  readonly id: string;
  readonly createdAt: { readonly seconds: number; readonly nanos: number } | null;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Leases {
  readonly leases: readonly Lease[];
}

export interface ImageAnswer {
  readonly image: Image | null;
}

/** A blob as containerd's metadata knows it in one namespace. */
export interface Info {
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
  readonly labels: Readonly<Record<string, string>>;
}

export interface InfoAnswer {
  readonly info: Info | null;
}

export interface Infos {
  readonly info: readonly Info[];
}

export interface ReadRequest {
  readonly digest: string;
  /** First byte. */
  readonly offset: number;
  /** Bytes to read; 0: to the end. */
  readonly size: number;
}

export interface ReadAnswer {
  readonly offset: number;
  readonly data: Uint8Array;
}

/** An ingest: content that is just being downloaded, or that a failed pull left behind. */
export interface Ref {
  readonly ref: string;
}

export interface Statuses {
  readonly statuses: readonly Ref[];
}

/** The first message of a writer: from then on the ingest is locked for the call. */
export interface WriteRequest {
  /** 0: tell how far it is. */
  readonly action: 0;
  readonly ref: string;
  /** Bytes that it is to have. */
  readonly total: number;
  /** The digest that it is to have. */
  readonly expected: string;
}

export interface WriteAnswer {
  /** Bytes that are there. */
  readonly offset: number;
}

export interface Envelope {
  readonly namespace: string;
  readonly topic: string;
  readonly event: { readonly typeUrl: string; readonly value: Uint8Array } | null;
}

export interface Plugin {
  readonly type: string;
  readonly id: string;
  readonly exports: Readonly<Record<string, string>>;
}

export interface Plugins {
  readonly plugins: readonly Plugin[];
}

export interface Version {
  readonly version: string;
  readonly revision: string;
}

export interface Server {
  /** 0 from a containerd that does not tell: 1.6. */
  readonly pid: number;
  /** Inode of the pid namespace in which that number counts. */
  readonly pidns: number;
}

export interface CriStatusRequest {
  readonly verbose: boolean;
}

/** What the kubelet's interface tells; `info.config` is JSON, of another form in every version. */
export interface CriStatus {
  readonly info: Readonly<Record<string, string>>;
}
