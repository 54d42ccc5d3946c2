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

/** Another process has proved that it holds this node's key. */
export interface Clone {
  /** Where it was reached; of an inbound connection where it came from, whose port is of no use. */
  readonly address: Multiaddr;
  readonly direction: 'inbound' | 'outbound';
}

type NoiseComponents = Parameters<ReturnType<typeof noise>>[0];

const INSTANCE_BYTES = 16;
/**
 * libp2p resets a connection to an own id at once: so long the other side has to read our proof.
 */
const LINGER_MS = 200;

/**
 * Noise that tells a connection to oneself, by an own address or through a NAT, from one to another
 * process with the same key, as a clone of this host is: both are "Can not dial self" to libp2p. A
 * number that is made anew for each process goes along in the handshake, in a list that nothing
 * else uses over TCP (webtransport_certhashes in libp2p's noise specification); Go reads it over.
 * What the other side says is signed with the key: only who has it is believed.
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
      if (direction === 'outbound') await delay(LINGER_MS, options?.signal);
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
