import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { DhtClient } from '../../lib/routing/dht/client.ts';
import { ProviderStore } from '../../lib/routing/dht/provider-store.ts';
import { residentMb } from '../bench/table.ts';

/** CPU and traffic of a process since its start. */
export interface Usage {
  readonly cpuSeconds: number;
  /** Bytes at all TCP sockets, closed ones included. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** ADD_PROVIDER messages, and the acknowledged batches in which they were sent. */
  readonly recordsSent: number;
  readonly batchesSent: number;
}

export interface Memory {
  /** Resident memory without pages of files, after a garbage collection. */
  readonly residentMb: number;
  readonly heapMb: number;
}

/** Records that all nodes of this process got from one peer. */
export interface Received {
  readonly records: number;
  /** When the last of them arrived, as `now()` tells it. */
  readonly lastAt: number;
}

/** Milliseconds of the machine's monotonic clock: all processes read the same one. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

const sockets = new Set<Socket>();
const closed = { sent: 0, received: 0 };
const sent = { records: 0, batches: 0 };
const received = new Map<string, { records: number; lastAt: number }>();

/** Counts all sockets and records of this process from now on. The nodes do not change. */
export function startMeter(): void {
  for (const name of ['net.client.socket', 'net.server.socket']) {
    subscribe(name, (message) => watch((message as { socket: Socket }).socket));
  }
  const { announce } = DhtClient.prototype;
  DhtClient.prototype.announce = function counted(peer, records) {
    sent.records += records.length;
    sent.batches += 1;
    return announce.call(this, peer, records);
  };
  const { add } = ProviderStore.prototype;
  ProviderStore.prototype.add = function counted(key, provider, ...rest) {
    const of = received.get(provider.peerId) ?? { records: 0, lastAt: 0 };
    of.records += 1;
    of.lastAt = now();
    received.set(provider.peerId, of);
    return add.call(this, key, provider, ...rest);
  };
}

export function usage(): Usage {
  const { user, system } = process.cpuUsage();
  let { sent: bytesSent, received: bytesReceived } = closed;
  for (const socket of sockets) {
    bytesSent += socket.bytesWritten;
    bytesReceived += socket.bytesRead;
  }
  return {
    cpuSeconds: (user + system) / 1e6,
    bytesSent,
    bytesReceived,
    recordsSent: sent.records,
    batchesSent: sent.batches,
  };
}

export function memory(): Memory {
  globalThis.gc?.();
  return {
    residentMb: residentMb(process.pid).own,
    heapMb: process.memoryUsage().heapUsed / 1e6,
  };
}

export function receivedFrom(peer: string): Received {
  return received.get(peer) ?? { records: 0, lastAt: 0 };
}

function watch(socket: Socket): void {
  sockets.add(socket);
  socket.once('close', () => {
    sockets.delete(socket);
    closed.sent += socket.bytesWritten;
    closed.received += socket.bytesRead;
  });
}
