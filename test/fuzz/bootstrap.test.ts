/** Where first peers come from: mDNS, files, pages, DNS, and what the last run left. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIP } from 'node:net';
import { after } from 'node:test';
import { type Answer, decode, encode } from 'dns-packet';
import fc from 'fast-check';
import { canonicalIp } from '../../lib/base/address.ts';
import { SpegelError } from '../../lib/base/errors.ts';
import { silentLogger as log } from '../../lib/base/log.ts';
import { tcpMultiaddr } from '../../lib/base/multiaddr.ts';
import { DnsBootstrapper } from '../../lib/bootstrap/dns.ts';
import {
  isDecodable,
  isQuestion,
  mdnsPeersIn,
  mdnsRecordsOf,
} from '../../lib/bootstrap/mdns-message.ts';
import { parseBootstrapPeer, parseIpMultiaddr } from '../../lib/bootstrap/peer.ts';
import { formatPeerInfo, parsePeerInfo } from '../../lib/bootstrap/peer-info.ts';
import { parsePeersFile } from '../../lib/bootstrap/peers-file.ts';
import { SeenPeers } from '../../lib/bootstrap/seen-peers.ts';
import { IDS } from '../bootstrap/ids.ts';
import { ADDRESSES } from './arbitrary-messages.ts';
import { fuzz, fuzzer } from './fuzzer.ts';
import { CONTROL, json, mutatedBytes, mutatedText } from './mutations.ts';

const id = fc.constantFrom(...IDS);
const port = fc.integer({ min: 1, max: 65_535 });
const ip = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.constantFrom('::', '127.0.0.1', '169.254.1.1', 'fe80::1'),
);
const own = fc.array(
  fc.tuple(ip, port, id).map(([where, at, who]) => tcpMultiaddr(canonicalIp(where), at, who)),
  { minLength: 1, maxLength: 4 },
);

/**
 * What a bootstrapper gives: a multiaddr of an IP and a TCP port, which is read as it was written.
 */
function assertDialable(address: string): void {
  const peer = parseIpMultiaddr(address);
  assert.ok(peer !== undefined && isIP(peer.host) !== 0, address);
  assert.equal(tcpMultiaddr(peer.host, peer.port, peer.peerId), address);
  assert.doesNotMatch(address, CONTROL);
}

/**
 * A record whose data are pointers, each to the one before, and `count` records named by the last
 * of them.
 */
const chained = fc
  .record({ links: fc.integer({ min: 1, max: 8_000 }), count: fc.nat(8_000) })
  .map(({ links, count }) => {
    const head = Buffer.from([0, 0, 0x84, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    head.writeUInt16BE(count + 1, 6);
    const first = 12 + 11;
    const place = (link: number) => (link === 0 ? first : first + 1 + 2 * (link - 1));
    const pointer = (to: number) => [0xc0 | (Math.min(to, 0x3fff) >> 8), to & 0xff];
    const data = [0, ...Array.from({ length: links }, (_, link) => pointer(place(link))).flat()];
    const record = (name: number[], bytes: number[]) =>
      Buffer.from([
        ...name,
        0,
        99,
        0,
        1,
        0,
        0,
        0,
        0,
        bytes.length >> 8,
        bytes.length & 0xff,
        ...bytes,
      ]);
    return Buffer.concat([
      head,
      record([0], data),
      ...Array<Buffer>(count).fill(record(pointer(place(links)), [])),
    ]);
  });
const records = own.map((addresses) => mdnsRecordsOf('some-name', addresses));
const packet = fc.oneof(
  {
    weight: 8,
    arbitrary: mutatedBytes(
      records.map(({ answers, additionals }) =>
        encode({ type: 'response', flags: 0x400, answers, additionals }),
      ),
      ['_spegel', Uint8Array.from([0xc0, 0x0c]), Uint8Array.from([0xc0, 0x00]), 'dnsaddr=/ip4/'],
    ),
  },
  { weight: 1, arbitrary: chained },
);

const entry = fc.oneof(
  fc.constantFrom(
    ...ADDRESSES,
    'host.example:5001',
    '[fd00::1]:5001',
    'fd00::1',
    '10.0.0.1',
    '# a',
  ),
  own.map(([first = '']) => first),
);
const peersFile = mutatedText(
  fc.array(entry, { maxLength: 6 }).map((lines) => lines.join('\n')),
  ['/', ':', '[', ']', '%', '/tcp/', '/p2p/'],
);
const page = fc.oneof(
  mutatedText(
    fc.tuple(own, fc.constantFrom('object', 'list', 'text')).map(([all, form]) => {
      return formatPeerInfo(all, form as 'object' | 'list' | 'text');
    }),
    ['"', '[', '{"ID":', 'null', '"Addrs":', '/tcp/1'],
  ),
  json,
);
const seenPeer = fc.record({
  id,
  addresses: fc
    .array(fc.tuple(ip, port), { maxLength: 3 })
    .map((list) => list.map(([where, at]) => tcpMultiaddr(canonicalIp(where), at, undefined))),
});
const peersJson = fc.oneof(
  mutatedText(
    fc.array(seenPeer, { maxLength: 4 }).map((list) => {
      const peers = new SeenPeers();
      peers.update(list, Date.UTC(2026, 10, 30));
      return peers.format();
    }),
    ['"', '{}', '{"toString":1}', '[]', 'null', '"+275760-09-13T00:00:00.001Z"', '/x'],
  ),
  json,
  json.map(
    (text) => `{"peers":[{"id":"${IDS[0]}","addresses":["/ip4/1.2.3.4/tcp/1"],"seen":${text}}]}`,
  ),
);

/** A name server that answers each question with these bytes behind the question's number. */
let said: Buffer = Buffer.alloc(0);
const server = createSocket('udp4');
server.on('message', (question, { port: from, address }) => {
  const answer = Buffer.from(said);
  question.copy(answer, 0, 0, Math.min(2, answer.length));
  server.send(answer, from, address);
});
server.bind(0, '127.0.0.1');
await once(server, 'listening');
after(() => void server.close());
const servers = [`127.0.0.1:${server.address().port}`];
const srv = fc.array(
  fc.record({
    target: fc.constantFrom('a.example', '.', '10.0.0.9', 'b\u0085'),
    port: fc.nat(65_535),
  }),
  { maxLength: 4 },
);
const dnsAnswer = mutatedBytes(
  srv.map((targets) => {
    const name = '_spegel._tcp.peers.example';
    const answers = targets.map((data): Answer => ({ type: 'SRV', name, ttl: 1, data }));
    const questions = [{ type: 'SRV' as const, name }];
    return encode({ type: 'response', flags: 0x180, questions, answers });
  }),
  [Uint8Array.from([0xc0, 0x0c])],
);

fuzz(import.meta.filename, [
  fuzzer(
    'mDNS: a packet that is read takes no time, and gives peers that can be dialled',
    fc.tuple(packet, fc.boolean()),
    ([bytes, isOwn]) => {
      if (!isDecodable(bytes)) return;
      let message: ReturnType<typeof decode>;
      try {
        message = decode(bytes);
      } catch (error) {
        assert.ok(error instanceof Error);
        return;
      }
      isQuestion(message.questions ?? []);
      const all = [...(message.answers ?? []), ...(message.additionals ?? [])];
      const heard = mdnsPeersIn(all, { ip: '10.9.9.9', isOwn });
      assert.ok(heard.length <= 1_024);
      for (const peer of heard) {
        assert.ok(peer.addresses.length <= 8);
        for (const address of peer.addresses) assertDialable(`${address}/p2p/${peer.id}`);
      }
    },
  ),

  fuzzer('mDNS: what is told is heard', own, (addresses) => {
    const { answers, additionals } = mdnsRecordsOf('some-name', addresses);
    const bytes = encode({ type: 'response', flags: 0x400, answers, additionals });
    assert.ok(isDecodable(bytes));
    const message = decode(bytes);
    const all = [...(message.answers ?? []), ...(message.additionals ?? [])];
    const heard = mdnsPeersIn(all, { ip: '10.9.9.9', isOwn: false });
    const ids = new Set(addresses.map((address) => address.slice(address.lastIndexOf('/') + 1)));
    assert.deepEqual(new Set(heard.map((peer) => peer.id)), ids);
  }),

  fuzzer('peers file: each line is a peer, or is told', peersFile, (text) => {
    const { peers, wrong } = parsePeersFile(text);
    assert.ok(peers.length + wrong.length <= text.split(/\r\n|\n|\r/).length);
    for (const { error } of wrong) assert.ok(error.length < 4_000);
    for (const { host, port: at, peerId } of peers) {
      assert.ok(host.length <= 253 && at >= 1 && at <= 65_535);
      assert.doesNotMatch(host, CONTROL);
      if (isIP(host) !== 0) assertDialable(tcpMultiaddr(host, at, peerId));
    }
  }),

  fuzzer('bootstrap peers: an address comes as it was, or ERR_OPTION_VALUE', peersFile, (text) => {
    try {
      const peer = parseBootstrapPeer(text);
      if (isIP(peer.host) === 0) return;
      const again = parseBootstrapPeer(tcpMultiaddr(peer.host, peer.port, peer.peerId));
      assert.deepEqual(again, peer);
    } catch (error) {
      if (!(error instanceof SpegelError)) throw error;
      assert.equal(error.code, 'ERR_OPTION_VALUE');
    }
  }),

  fuzzer('pages of peers: addresses that can be dialled, or an Error', page, (text) => {
    let found: string[];
    try {
      found = parsePeerInfo(text, '10.9.9.9', 5001);
    } catch (error) {
      assert.match(String(error), /expected a multiaddr, or JSON/);
      return;
    }
    assert.ok(found.length <= 256 * 16);
    for (const address of found) assertDialable(address);
  }),

  fuzzer(
    'peers.json: peers that can be dialled, or an Error; what is written is read',
    peersJson,
    (text) => {
      const peers = new SeenPeers();
      const now = Date.UTC(2026, 10, 30);
      try {
        peers.load(text, now);
      } catch (error) {
        if (error instanceof SyntaxError) return;
        assert.match(String(error), /not a list of peers/);
        return;
      }
      for (const address of peers.addresses()) assertDialable(address);
      const again = new SeenPeers();
      again.load(peers.format(), now);
      assert.deepEqual(again.addresses(), peers.addresses());
    },
  ),

  fuzzer(
    'SRV answers: addresses that can be dialled, whatever the server says',
    dnsAnswer,
    async (bytes) => {
      said = bytes;
      const resolve = async (name: string) => (isIP(name) === 0 ? ['10.0.0.1'] : [name]);
      const settings = { host: 'peers.example', port: 5001 };
      const dns = new DnsBootstrapper({ log, resolve, servers }, settings);
      for (const address of await dns.addresses(AbortSignal.timeout(100))) assertDialable(address);
    },
  ),
]);
