import type * as messages from './messages.ts';
import { decode, encode } from './messages.ts';

/**
 * A method of containerd's gRPC API: its path, and how to encode its request and decode its answer.
 */
export interface Method<Request, Answer> {
  readonly path: string;
  serialize(request: Request): Buffer;
  deserialize(bytes: Buffer): Answer;
}

function method<Request extends object, Answer>(
  path: string,
  request: string,
  answer: string,
): Method<Request, Answer> {
  return {
    path,
    serialize: (value) => encode(request, value),
    deserialize: (bytes) => decode<Answer>(answer, bytes),
  };
}

const SERVICES = '/containerd.services';

/** Methods with one request and one answer. */
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

/** Methods that answer with a stream. */
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

/** Methods with streams in both directions. */
export const DUPLEX = {
  write: method<messages.WriteRequest, messages.WriteAnswer>(
    `${SERVICES}.content.v1.Content/Write`,
    'WriteRequest',
    'WriteAnswer',
  ),
};
