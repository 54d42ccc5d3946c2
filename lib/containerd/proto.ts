import protobuf from 'protobufjs';
import type * as messages from './messages.ts';

/**
 * The messages of containerd's gRPC API that a mirror needs, with containerd's field numbers (module
 * github.com/containerd/containerd/api, unchanged from 1.6 to 2.2). Unknown fields are skipped, so a newer
 * containerd is fine. A message's package is not part of the wire format: here all are in one. It is a string
 * and no .proto file, since the executable has no files beside it.
 */
const PROTO = `
syntax = "proto3";
package spegel;

message Empty {}
message Filters { repeated string filters = 1; }
message Name { string name = 1; }
message DigestRequest { string digest = 1; }

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

/** Fields that are absent get proto3's default, so that a decoded message has every field of its type. */
const CONVERSION: protobuf.IConversionOptions = {
  defaults: true,
  arrays: true,
  objects: true,
  longs: Number,
};

/** A method of the API: its path, and how its request and answer are written and read. */
export interface Method<Request, Answer> {
  readonly path: string;
  serialize(request: Request): Buffer;
  deserialize(bytes: Buffer): Answer;
}

/** Reads a message of the proto text; `T` has to describe it. Throws on bytes that are no such message. */
export function decode<T>(message: string, bytes: Uint8Array): T {
  const type = root.lookupType(`spegel.${message}`);
  return type.toObject(type.decode(bytes), CONVERSION) as T;
}

function method<Request extends object, Answer>(
  path: string,
  request: string,
  answer: string,
): Method<Request, Answer> {
  const type = root.lookupType(`spegel.${request}`);
  return {
    path,
    serialize: (value) => Buffer.from(type.encode(type.fromObject(value)).finish()),
    deserialize: (bytes) => decode<Answer>(answer, bytes),
  };
}

const SERVICES = '/containerd.services';

/** Unary calls of the API. */
export const UNARY = {
  namespaces: method<object, messages.Namespaces>(
    `${SERVICES}.namespaces.v1.Namespaces/List`,
    'Empty',
    'Namespaces',
  ),
  images: method<messages.Filters, messages.Images>(
    `${SERVICES}.images.v1.Images/List`,
    'Filters',
    'Images',
  ),
  image: method<messages.Name, messages.ImageAnswer>(
    `${SERVICES}.images.v1.Images/Get`,
    'Name',
    'ImageAnswer',
  ),
  leases: method<messages.Filters, messages.Leases>(
    `${SERVICES}.leases.v1.Leases/List`,
    'Filters',
    'Leases',
  ),
  info: method<messages.DigestRequest, messages.InfoAnswer>(
    `${SERVICES}.content.v1.Content/Info`,
    'DigestRequest',
    'InfoAnswer',
  ),
  statuses: method<messages.Filters, messages.Statuses>(
    `${SERVICES}.content.v1.Content/ListStatuses`,
    'Filters',
    'Statuses',
  ),
  abort: method<messages.Ref, object>(`${SERVICES}.content.v1.Content/Abort`, 'Ref', 'Empty'),
  plugins: method<messages.Filters, messages.Plugins>(
    `${SERVICES}.introspection.v1.Introspection/Plugins`,
    'Filters',
    'Plugins',
  ),
  version: method<object, messages.Version>(
    `${SERVICES}.version.v1.Version/Version`,
    'Empty',
    'Version',
  ),
  server: method<object, messages.Server>(
    `${SERVICES}.introspection.v1.Introspection/Server`,
    'Empty',
    'Server',
  ),
  criStatus: method<messages.CriStatusRequest, messages.CriStatus>(
    '/runtime.v1.RuntimeService/Status',
    'CriStatusRequest',
    'CriStatus',
  ),
};

/** Calls that answer with a stream. */
export const STREAMS = {
  content: method<messages.Filters, messages.Infos>(
    `${SERVICES}.content.v1.Content/List`,
    'Filters',
    'Infos',
  ),
  read: method<messages.ReadRequest, messages.ReadAnswer>(
    `${SERVICES}.content.v1.Content/Read`,
    'ReadRequest',
    'ReadAnswer',
  ),
  events: method<messages.Filters, messages.Envelope>(
    `${SERVICES}.events.v1.Events/Subscribe`,
    'Filters',
    'Envelope',
  ),
};

/** Calls with a stream in both directions. */
export const DUPLEX = {
  write: method<messages.WriteRequest, messages.WriteAnswer>(
    `${SERVICES}.content.v1.Content/Write`,
    'WriteRequest',
    'WriteAnswer',
  ),
};
