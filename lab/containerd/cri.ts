/**
 * The parts of CRI (runtime.v1) that pull images and run containers, spoken as the kubelet speaks
 * them.
 */
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
message RunPodSandboxRequest { PodSandboxConfig config = 1; }
message RunPodSandboxResponse { string pod_sandbox_id = 1; }
message PodSandboxConfig {
  PodSandboxMetadata metadata = 1;
  string log_directory = 3;
  LinuxPodSandboxConfig linux = 8;
}
message PodSandboxMetadata { string name = 1; string uid = 2; string namespace = 3; }
message LinuxPodSandboxConfig { LinuxSandboxSecurityContext security_context = 2; }
message LinuxSandboxSecurityContext { NamespaceOption namespace_options = 1; }
enum NamespaceMode { POD = 0; CONTAINER = 1; NODE = 2; }
message NamespaceOption { NamespaceMode network = 1; }
message CreateContainerRequest {
  string pod_sandbox_id = 1;
  ContainerConfig config = 2;
  PodSandboxConfig sandbox_config = 3;
}
message CreateContainerResponse { string container_id = 1; }
message ContainerConfig {
  ContainerMetadata metadata = 1;
  ImageSpec image = 2;
  repeated string command = 3;
  repeated Mount mounts = 7;
}
message ContainerMetadata { string name = 1; }
message Mount {
  string container_path = 1;
  bool readonly = 3;
  ImageSpec image = 9;
  string image_sub_path = 10;
}
message StartContainerRequest { string container_id = 1; }
message StartContainerResponse {}
message ExecSyncRequest { string container_id = 1; repeated string cmd = 2; int64 timeout = 3; }
message ExecSyncResponse { bytes stdout = 1; bytes stderr = 2; int32 exit_code = 3; }
message StopPodSandboxRequest { string pod_sandbox_id = 1; }
message StopPodSandboxResponse {}
message RemovePodSandboxRequest { string pod_sandbox_id = 1; }
message RemovePodSandboxResponse {}
message StatusRequest { bool verbose = 1; }
message StatusResponse { map<string, string> info = 2; }
`;
const root = protobuf.parse(PROTO, { keepCase: true }).root;
const PULL_TIMEOUT_MS = 120_000;
const CALL_TIMEOUT_MS = 10_000;
/** A machine that is busy starts a container in seconds. */
const RUN_TIMEOUT_MS = 60_000;
const EXEC_TIMEOUT_S = 20;
/** NamespaceMode: that of the host. */
const NODE = 2;

interface ExecAnswer {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly exit_code: number;
}

export interface CriImage {
  readonly id: string;
  readonly repo_tags: string[];
  readonly repo_digests: string[];
}

/** A pod without a network of its own, as `hostNetwork: true` makes it: no CNI is asked for. */
export interface CriPod {
  readonly name: string;
  readonly logs: string;
}

/** An image at a path of a container, as `volumes[].image` of a pod's specification has it. */
export interface ImageMount {
  readonly container_path: string;
  readonly image: string;
  readonly sub_path?: string;
}

export interface CriContainer {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly imageMounts: readonly ImageMount[];
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

  /**
   * PullImage as the kubelet calls it; returns the image's id. An aborted signal cancels the call.
   */
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

  /** RunPodSandbox; returns its id. containerd pulls the sandbox's image by itself. */
  async runPod(pod: CriPod): Promise<string> {
    const config = sandboxConfig(pod);
    const answer = await this.#call('RuntimeService', 'RunPodSandbox', { config }, RUN_TIMEOUT_MS);
    return (answer as { pod_sandbox_id: string }).pod_sandbox_id;
  }

  /** CreateContainer and StartContainer; returns its id. */
  async runContainer(podId: string, pod: CriPod, container: CriContainer): Promise<string> {
    const mounts = container.imageMounts.map(({ container_path, image, sub_path = '' }) => ({
      container_path,
      readonly: true, // containerd accepts an image in no other way
      image: { image },
      image_sub_path: sub_path,
    }));
    const config = {
      metadata: { name: container.name },
      image: { image: container.image },
      command: container.command,
      mounts,
    };
    const request = { pod_sandbox_id: podId, config, sandbox_config: sandboxConfig(pod) };
    const created = await this.#call('RuntimeService', 'CreateContainer', request, RUN_TIMEOUT_MS);
    const { container_id } = created as { container_id: string };
    await this.#call('RuntimeService', 'StartContainer', { container_id }, RUN_TIMEOUT_MS);
    return container_id;
  }

  /** What a program prints inside of a running container. Rejects unless it ends with 0. */
  async exec(container_id: string, cmd: readonly string[]): Promise<Buffer> {
    const request = { container_id, cmd, timeout: EXEC_TIMEOUT_S };
    const answer = await this.#call('RuntimeService', 'ExecSync', request, RUN_TIMEOUT_MS);
    const { exit_code, stdout, stderr } = answer as ExecAnswer;
    if (exit_code !== 0) throw new Error(`${cmd.join(' ')} ended with ${exit_code}: ${stderr}`);
    return stdout;
  }

  /** Ends a pod and its containers. */
  async removePod(pod_sandbox_id: string): Promise<void> {
    await this.#call('RuntimeService', 'StopPodSandbox', { pod_sandbox_id }, RUN_TIMEOUT_MS);
    await this.#call('RuntimeService', 'RemovePodSandbox', { pod_sandbox_id }, RUN_TIMEOUT_MS);
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

function sandboxConfig({ name, logs }: CriPod) {
  return {
    metadata: { name, uid: name, namespace: 'default' },
    log_directory: logs,
    linux: { security_context: { namespace_options: { network: NODE } } },
  };
}
