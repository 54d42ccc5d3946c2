import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';

const GROUP = '224.0.0.251';
const PATIENCE_MS = 2_000;

/** True when this machine's first outward interface brings a multicast packet back to it. */
export async function canMulticast(): Promise<boolean> {
  const infos = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outward = infos.find(({ internal, family }) => !internal && family === 'IPv4');
  if (outward === undefined) return false;
  const socket = createSocket({ type: 'udp4', reuseAddr: true });
  try {
    return await new Promise((resolve) => {
      setTimeout(() => resolve(false), PATIENCE_MS).unref();
      socket.on('error', () => resolve(false));
      socket.on('message', () => resolve(true));
      socket.bind(0, () => {
        try {
          socket.addMembership(GROUP, outward.address);
          socket.setMulticastInterface(outward.address);
          socket.send('?', socket.address().port, GROUP);
        } catch {
          resolve(false);
        }
      });
    });
  } finally {
    socket.close();
  }
}
