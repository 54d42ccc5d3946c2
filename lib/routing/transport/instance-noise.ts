import { randomBytes } from 'node:crypto';
import { type NoiseExtensions, noise } from '@chainsafe/libp2p-noise';
import type {
  ConnectionEncrypter,
  MessageStream,
  MultiaddrConnection,
  SecureConnectionOptions,
  SecuredConnection,
} from '@libp2p/interface';
import type { Multiaddr } from '@multiformats/multiaddr';
import { delay } from '../../base/abortable.ts';
import { CLONE_LINGER_MS } from './constants.ts';

/** Another process that proved to have this node's key. */
export interface Clone {
  /** The address that was dialled, or the source of an inbound connection, whose port is random. */
  readonly address: Multiaddr;
  readonly direction: 'inbound' | 'outbound';
}

type NoiseComponents = Parameters<ReturnType<typeof noise>>[0];

const INSTANCE_BYTES = 16;

/**
 * Noise that distinguishes a connection to this process, by an own address or through a NAT, from
 * one to another process with the same key, such as a clone of this host: libp2p rejects both as
 * "Can not dial self". The handshake carries a random number of the process, in a list that nothing
 * else uses over TCP (webtransport_certhashes in libp2p's noise specification) and that Go ignores.
 * The number is signed with the key, so only a process that has the key can send one.
 */
export function instanceNoise(
  onClone: (clone: Clone) => void,
): (components: NoiseComponents) => ConnectionEncrypter<NoiseExtensions> {
  const instance = randomBytes(INSTANCE_BYTES);
  const create = noise({ extensions: { webtransportCerthashes: [instance] } });
  return (components) => {
    const encrypter = create(components);
    const isOurs = (extensions: NoiseExtensions | undefined) =>
      extensions?.webtransportCerthashes.some((said) => instance.equals(said)) === true;
    const look = async (
      stream: MessageStream,
      secured: SecuredConnection<NoiseExtensions>,
      direction: Clone['direction'],
      options: SecureConnectionOptions | undefined,
    ): Promise<SecuredConnection<NoiseExtensions>> => {
      if (!secured.remotePeer.equals(components.peerId)) return secured;
      if (isOurs(secured.remoteExtensions)) return secured;
      onClone({ address: (stream as MultiaddrConnection).remoteAddr, direction });
      if (direction === 'outbound') await delay(CLONE_LINGER_MS, options?.signal);
      return secured;
    };
    return {
      protocol: encrypter.protocol,
      secureOutbound: async (stream, options) =>
        look(stream, await encrypter.secureOutbound(stream, options), 'outbound', options),
      secureInbound: async (stream, options) =>
        look(stream, await encrypter.secureInbound(stream, options), 'inbound', options),
    };
  };
}
