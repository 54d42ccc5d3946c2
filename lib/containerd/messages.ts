import protobuf from 'protobufjs';

/**
 * The schema of the messages of containerd's gRPC API that this project uses, with containerd's
 * field numbers (module github.com/containerd/containerd/api, the same from 1.6 to 2.2). The types
 * below describe the messages as `decode` returns them. A decoder skips unknown fields, so a newer
 * containerd works as well. The package of a message is not part of the wire format: here all
 * messages are in one package. The schema is a string because the executable has no files beside
 * it.
 */
const PROTO = `
syntax = "proto3";
package spegel;

message Empty {}
message Filters { repeated string filters = 1; }
message Name { string name = 1; }
message DigestRequest { string digest = 1; }
message ContentCreate { string digest = 1; int64 size = 2; }

message Timestamp { int64 seconds = 1; int32 nanos = 2; }

message Namespace { string name = 1; }
message Namespaces { repeated Namespace namespaces = 1; }

message Descriptor { string media_type = 1; string digest = 2; int64 size = 3; }
message Image { string name = 1; Descriptor target = 3; Timestamp updated_at = 8; }
message Images { repeated Image images = 1; }
message ImageAnswer { Image image = 1; }

message Lease { string id = 1; Timestamp created_at = 2; map<string, string> labels = 3; }
message Leases { repeated Lease leases = 1; }

message Info { string digest = 1; int64 size = 2; map<string, string> labels = 5; }
message InfoAnswer { Info info = 1; }
message Infos { repeated Info info = 1; }
message ReadRequest { string digest = 1; int64 offset = 2; int64 size = 3; }
message ReadAnswer { int64 offset = 1; bytes data = 2; }

message Status { string ref = 3; }
message Statuses { repeated Status statuses = 1; }
message Ref { string ref = 1; }
message WriteRequest { int32 action = 1; string ref = 2; int64 total = 3; string expected = 4; }
message WriteAnswer { int64 offset = 4; }

message Any { string type_url = 1; bytes value = 2; }
message Envelope { string namespace = 2; string topic = 3; Any event = 4; }

message Plugin { string type = 1; string id = 2; map<string, string> exports = 5; }
message Plugins { repeated Plugin plugins = 1; }
message Version { string version = 1; string revision = 2; }
message Server { uint64 pid = 2; uint64 pidns = 3; }

message CriStatusRequest { bool verbose = 1; }
message CriStatus { map<string, string> info = 2; }
`;

const { root } = protobuf.parse(PROTO);
/** By name: a lookup in the tree takes longer than most messages. */
const types = new Map<string, protobuf.Type>();

function typeOf(message: string): protobuf.Type {
  const known = types.get(message);
  if (known !== undefined) return known;
  const type = root.lookupType(`spegel.${message}`);
  types.set(message, type);
  return type;
}

/**
 * Gives absent fields the default of proto3, so that a decoded message has all fields of its type.
 */
const CONVERSION: protobuf.IConversionOptions = {
  defaults: true,
  arrays: true,
  objects: true,
  longs: Number,
};

/**
 * Decodes a message of the schema; `T` must describe it. Throws on bytes that are not a `message`.
 */
export function decode<T>(message: string, bytes: Uint8Array): T {
  const type = typeOf(message);
  return type.toObject(type.decode(bytes), CONVERSION) as T;
}

/** Encodes a message of the schema. Fields that the schema does not have are left out. */
export function encode(message: string, value: object): Buffer {
  const type = typeOf(message);
  return Buffer.from(type.encode(type.fromObject(value)).finish());
}

export interface Filters {
  /** Joined by OR. No filters match everything. Syntax: filters/filter.go of containerd. */
  readonly filters: readonly string[];
}

export interface Name {
  readonly name: string;
}

export interface DigestRequest {
  readonly digest: string;
}

export interface ContentCreate {
  readonly digest: string;
  readonly size: number;
}

export interface Namespaces {
  readonly namespaces: readonly Name[];
}

export interface Image {
  readonly name: string;
  /** Null if containerd sent none. */
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

/** Protects content from garbage collection, for example during a pull. */
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

/** A blob in the metadata of one namespace. */
export interface Info {
  readonly digest: string;
  /** In bytes. */
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
  /** Position of the first byte. */
  readonly offset: number;
  /** Bytes to read; 0 reads to the end. */
  readonly size: number;
}

export interface ReadAnswer {
  readonly offset: number;
  readonly data: Uint8Array;
}

/** An ingest: a download that runs, or that a failed pull left behind. */
export interface Ref {
  readonly ref: string;
}

export interface Statuses {
  readonly statuses: readonly Ref[];
}

/** The first message of a writer. containerd locks the ingest until the call ends. */
export interface WriteRequest {
  /** 0: answer how many bytes there are. */
  readonly action: 0;
  readonly ref: string;
  /** Final size of the ingest, in bytes. */
  readonly total: number;
  /** Final digest of the ingest. */
  readonly expected: string;
}

export interface WriteAnswer {
  /** Bytes that the ingest has. */
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
  /** 0 if containerd does not tell it (1.6). */
  readonly pid: number;
  /** Inode of the pid namespace to which `pid` belongs. */
  readonly pidns: number;
}

export interface CriStatusRequest {
  readonly verbose: boolean;
}

/**
 * The answer of the kubelet's interface. `info.config` is JSON, in a form that differs by version.
 */
export interface CriStatus {
  readonly info: Readonly<Record<string, string>>;
}
