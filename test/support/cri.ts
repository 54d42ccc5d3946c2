/** The part of CRI that pulls images (runtime.v1), spoken as the kubelet speaks it. */
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import protobuf from 'protobufjs';

const PROTO = `
syntax = "proto3";
package runtime.v1;
message ImageSpec { string image = 1; map<string, string> annotations = 2; }
message AuthConfig { string username = 1; string password = 2; }
message PullImageRequest { ImageSpec image = 1; AuthConfig auth = 2; }
message PullImageResponse { string image_ref = 1; }
message RemoveImageRequest { ImageSpec image = 1; }
message RemoveImageResponse {}
message ListImagesRequest {}
message Image { string id = 1; repeated string repo_tags = 2; repeated string repo_digests = 3; }
message ListImagesResponse { repeated Image images = 1; }
message StatusRequest { bool verbose = 1; }
message StatusResponse { map<string, string> info = 2; }
`;
const root = protobuf.parse(PROTO, { keepCase: true }).root;
const PULL_TIMEOUT_MS = 120_000;
const CALL_TIMEOUT_MS = 10_000;

export interface CriImage {
  readonly id: string;
  readonly repo_tags: string[];
  readonly repo_digests: string[];
}

export class CriClient {
  readonly #client: Client;

  constructor(socket: string) {
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      // a containerd that restarts is to be found again at once, not after grpc's back-off
      'grpc.max_reconnect_backoff_ms': 200,
    });
  }

  #call(
    service: string,
    method: string,
    message: object,
    timeoutMs = CALL_TIMEOUT_MS,
    signal?: AbortSignal,
  ): Promise<unknown> {
    const request = root.lookupType(`runtime.v1.${method}Request`);
    const response = root.lookupType(`runtime.v1.${method}Response`);
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        `/runtime.v1.${service}/${method}`,
        (value: object) => Buffer.from(request.encode(request.create(value)).finish()),
        (bytes: Buffer) =>
          response.toObject(response.decode(bytes), {
            arrays: true,
            objects: true,
            defaults: true,
          }),
        message,
        { deadline: Date.now() + timeoutMs },
        (error: ServiceError | null, value?: unknown) => (error ? reject(error) : resolve(value)),
      );
      signal?.addEventListener('abort', () => call.cancel(), { once: true });
    });
  }

  /** PullImage as the kubelet calls it; returns the image's id. An aborted signal cancels the call. */
  async pull(
    image: string,
    timeoutMs = PULL_TIMEOUT_MS,
    { signal, user }: { readonly signal?: AbortSignal | undefined; readonly user?: string } = {},
  ): Promise<string> {
    const [username, password] = user?.split(':') ?? [];
    const auth = user === undefined ? {} : { auth: { username, password } };
    const message = { image: { image }, ...auth };
    const answer = await this.#call('ImageService', 'PullImage', message, timeoutMs, signal);
    return (answer as { image_ref: string }).image_ref;
  }

  async remove(image: string): Promise<void> {
    await this.#call('ImageService', 'RemoveImage', { image: { image } });
  }

  async images(): Promise<CriImage[]> {
    return ((await this.#call('ImageService', 'ListImages', {})) as { images: CriImage[] }).images;
  }

  /** Status(verbose): `config` is the running configuration as JSON. */
  async statusInfo(): Promise<Record<string, string>> {
    return (
      (await this.#call('RuntimeService', 'Status', { verbose: true })) as {
        info: Record<string, string>;
      }
    ).info;
  }

  /** Whether the plugin is past its start. Right after boot it answers "not initialized yet". */
  async answers(): Promise<boolean> {
    try {
      await this.images();
      return true;
    } catch (error) {
      const { code } = error as ServiceError;
      if (code === status.UNIMPLEMENTED) throw error; // the plugin is not loaded: see the log
      return false;
    }
  }

  close(): void {
    this.#client.close();
  }
}
