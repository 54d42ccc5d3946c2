import protobuf from 'protobufjs/minimal.js';
import type { WirePeer } from '../wire-peer.ts';
import {
  MAX_KEYS_ASKED_TOGETHER,
  MAX_PROVIDER_ADDRESSES_TOLD,
  MAX_PROVIDERS_TOLD_PER_KEY,
} from './constants.ts';
import { bytesKey, MULTIHASH_BYTES } from './keys.ts';
import { hasUsableId, readWirePeer, writePeer } from './message.ts';

/** A question: field 1, once for each key. */
const keyField = (1 << 3) | 2;
/**
 * An answer: field 1 is a peer as in a DHT message, each peer once; field 2 comes once for each key
 * in the order of the question, and holds the places of the key's providers in the list of peers.
 */
const peerField = (1 << 3) | 2;
const providersField = (2 << 3) | 2;

/** The most peers that an answer can name. */
const MAX_PEERS = MAX_KEYS_ASKED_TOGETHER * MAX_PROVIDERS_TOLD_PER_KEY;

/** A question for the providers of keys, given as multihashes: one to 128, each of them once. */
export function encodeProvidersQuestion(keys: readonly Uint8Array[]): Uint8Array {
  const writer = protobuf.Writer.create();
  for (const key of keys) writer.uint32(keyField).bytes(key);
  return writer.finish();
}

/**
 * The keys of a question. Skips unknown fields. Throws when the bytes are no protobuf, when a key
 * has another length than a multihash of sha2-256 or comes twice, and when there are no keys or
 * more than 128.
 */
export function decodeProvidersQuestion(bytes: Uint8Array): Uint8Array[] {
  const reader = protobuf.Reader.create(bytes);
  const keys = new Map<string, Uint8Array>();
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag !== keyField) {
      reader.skipType(tag & 7);
      continue;
    }
    const key = reader.bytes();
    if (key.length !== MULTIHASH_BYTES) throw new RangeError(`key of ${key.length} bytes`);
    // Each mention of a key that thousands have would cost as much as the first.
    if (keys.has(bytesKey(key))) throw new RangeError('a key comes twice');
    if (keys.size === MAX_KEYS_ASKED_TOGETHER)
      throw new RangeError(`more than ${MAX_KEYS_ASKED_TOGETHER} keys`);
    keys.set(bytesKey(key), key);
  }
  if (keys.size === 0) throw new RangeError('a question without a key');
  return [...keys.values()];
}

/**
 * An answer with the providers of each key, in the order of the question. Names at most four
 * providers of a key and eight addresses of a provider, so that it has 0.6 MB at most.
 */
export function encodeProvidersAnswer(providers: readonly (readonly WirePeer[])[]): Uint8Array {
  const writer = protobuf.Writer.create();
  const places = new Map<string, number>();
  const placeOf = ({ id, addresses }: WirePeer): number => {
    const name = bytesKey(id);
    const known = places.get(name);
    if (known !== undefined) return known;
    const told = { id, addresses: addresses.slice(0, MAX_PROVIDER_ADDRESSES_TOLD) };
    writePeer(writer.uint32(peerField), told);
    places.set(name, places.size);
    return places.size - 1;
  };
  const lists = providers.map((peers) => peers.slice(0, MAX_PROVIDERS_TOLD_PER_KEY).map(placeOf));
  for (const list of lists) {
    writer.uint32(providersField).fork();
    for (const place of list) writer.uint32(place);
    writer.ldelim();
  }
  return writer.finish();
}

/**
 * The providers of each key of the question. Skips unknown fields. Throws when the bytes are no
 * protobuf, when a list names a peer that the answer does not hold, and when there are more lists,
 * peers, or peers in a list, than an answer has.
 */
export function decodeProvidersAnswer(bytes: Uint8Array): WirePeer[][] {
  const reader = protobuf.Reader.create(bytes);
  const peers: WirePeer[] = [];
  const lists: number[][] = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === peerField) {
      const peer = readWirePeer(reader);
      if (!hasUsableId(peer)) throw new RangeError(`peer id of ${peer.id.length} bytes`);
      if (peers.length === MAX_PEERS) throw new RangeError(`more than ${MAX_PEERS} peers`);
      peers.push(peer);
    } else if (tag === providersField) {
      if (lists.length === MAX_KEYS_ASKED_TOGETHER)
        throw new RangeError(`providers of more than ${MAX_KEYS_ASKED_TOGETHER} keys`);
      lists.push(readPlaces(reader));
    } else reader.skipType(tag & 7);
  }
  return lists.map((list) => list.map((place) => peerAt(peers, place)));
}

function readPlaces(reader: protobuf.Reader): number[] {
  const end = reader.uint32() + reader.pos;
  if (end > reader.len) throw new RangeError('providers longer than their message');
  const places: number[] = [];
  while (reader.pos < end) {
    if (places.length === MAX_PROVIDERS_TOLD_PER_KEY)
      throw new RangeError(`more than ${MAX_PROVIDERS_TOLD_PER_KEY} providers of a key`);
    places.push(reader.uint32());
  }
  if (reader.pos !== end) throw new RangeError('a number longer than its list');
  return places;
}

function peerAt(peers: readonly WirePeer[], place: number): WirePeer {
  const peer = peers[place];
  if (peer === undefined) throw new RangeError(`provider ${place} of ${peers.length}`);
  return peer;
}
