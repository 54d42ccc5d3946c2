import protobuf from 'protobufjs/minimal.js';
import { MAX_ADDRESSES_PER_PEER } from '../constants.ts';
import type { WirePeer } from '../wire-peer.ts';
import { frame } from './frames.ts';

/** Message types of the libp2p spec kad-dht, "RPC messages", without those of values. */
export const MessageType = { addProvider: 2, getProviders: 3, findNode: 4, ping: 5 } as const;

export interface DhtMessage {
  readonly type: number;
  readonly key: Uint8Array;
  readonly closer: readonly WirePeer[];
  readonly providers: readonly WirePeer[];
  /**
   * A field of ours in ADD_PROVIDER: the validity of the record in seconds. Undefined: the receiver
   * decides.
   */
  readonly validitySeconds?: number | undefined;
  /** A field of ours in PING: the sender is about to stop. */
  readonly isLeaving?: boolean | undefined;
}

// Bounds on a peer's message; anything beyond is skipped.

/** Peers in one list of a message. Go Spegel names every provider of a key. */
const MAX_PEERS = 1024;
const MAX_ADDRESS_BYTES = 128;
/** A peer id has 34 or 38 bytes, a key 34. */
const MAX_ID_BYTES = 80;

/** Field numbers and wire types as in go-libp2p-kad-dht, pb/dht.proto. */
const typeField = 1 << 3;
const keyField = (2 << 3) | 2;
const closerField = (8 << 3) | 2;
const providersField = (9 << 3) | 2;
/**
 * Fields of our own, far from numbers that the spec may still assign. Every protobuf reader skips
 * unknown fields.
 */
const validityField = 1000 << 3;
const leavingField = 1001 << 3;
const idField = (1 << 3) | 2;
const addressField = (2 << 3) | 2;

export const EMPTY = new Uint8Array(0);

/** Encodes a message without its length prefix. */
export function encodeDhtMessage(message: Partial<DhtMessage> & { type: number }): Uint8Array {
  const writer = protobuf.Writer.create();
  writer.uint32(typeField).int32(message.type);
  if (message.key !== undefined && message.key.length > 0)
    writer.uint32(keyField).bytes(message.key);
  for (const peer of message.closer ?? []) writePeer(writer.uint32(closerField), peer);
  for (const peer of message.providers ?? []) writePeer(writer.uint32(providersField), peer);
  if (message.validitySeconds !== undefined)
    writer.uint32(validityField).uint32(message.validitySeconds);
  if (message.isLeaving === true) writer.uint32(leavingField).bool(true);
  return writer.finish();
}

/** Writes a peer as the value of a field of which the tag is written. */
export function writePeer(writer: protobuf.Writer, peer: WirePeer): void {
  writer.fork().uint32(idField).bytes(peer.id);
  for (const address of peer.addresses) writer.uint32(addressField).bytes(address);
  writer.ldelim();
}

/**
 * Decodes a message and skips unknown fields. Throws when the bytes are not protobuf and when the
 * key is too long. A message without a type gets type 0.
 */
export function decodeDhtMessage(bytes: Uint8Array): DhtMessage {
  const reader = protobuf.Reader.create(bytes);
  let type = 0;
  let key: Uint8Array = EMPTY;
  const closer: WirePeer[] = [];
  const providers: WirePeer[] = [];
  let validitySeconds: number | undefined;
  let isLeaving = false;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === typeField) type = reader.int32();
    else if (tag === keyField) key = reader.bytes();
    else if (tag === closerField) readPeer(reader, closer);
    else if (tag === providersField) readPeer(reader, providers);
    else if (tag === validityField) validitySeconds = reader.uint32();
    else if (tag === leavingField) isLeaving = reader.bool();
    else reader.skipType(tag & 7);
  }
  if (key.length > MAX_ID_BYTES) throw new Error(`key of ${key.length} bytes`);
  return { type, key, closer, providers, validitySeconds, isLeaving };
}

function readPeer(reader: protobuf.Reader, into: WirePeer[]): void {
  const peer = readWirePeer(reader);
  if (hasUsableId(peer) && into.length < MAX_PEERS) into.push(peer);
}

/** Whether the id of a peer that was read can be one. */
export function hasUsableId({ id }: WirePeer): boolean {
  return id.length > 0 && id.length <= MAX_ID_BYTES;
}

/**
 * Reads a peer, whose tag is read. Leaves out addresses that are too long or too many. Throws when
 * the bytes are no peer.
 */
export function readWirePeer(reader: protobuf.Reader): WirePeer {
  const end = reader.uint32() + reader.pos;
  if (end > reader.len) throw new RangeError('peer longer than its message');
  let id: Uint8Array = EMPTY;
  const addresses: Uint8Array[] = [];
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === idField) id = reader.bytes();
    else if (tag === addressField) readAddress(reader, addresses);
    else reader.skipType(tag & 7);
  }
  return { id, addresses };
}

function readAddress(reader: protobuf.Reader, into: Uint8Array[]): void {
  const address = reader.bytes();
  const isUsable = address.length > 0 && address.length <= MAX_ADDRESS_BYTES;
  if (isUsable && into.length < MAX_ADDRESSES_PER_PEER) into.push(address);
}

/**
 * Returns an encoder of framed ADD_PROVIDER messages of one provider. They differ only in the key,
 * so the rest is encoded once: a host sends a hundred thousand of them when it starts.
 */
export function announcementEncoder(
  provider: WirePeer,
  validitySeconds: number,
  keyBytes: number,
): (key: Uint8Array) => Uint8Array {
  const marker = new Uint8Array(keyBytes).fill(0xff);
  const { addProvider: type } = MessageType;
  const message = { type, key: marker, providers: [provider], validitySeconds };
  const template = Buffer.from(frame(encodeDhtMessage(message)));
  const at = template.indexOf(marker);
  return (key) => {
    const copy = Uint8Array.from(template);
    copy.set(key, at);
    return copy;
  };
}
