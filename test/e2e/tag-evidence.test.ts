/**
 * What containerd does when it pulls a tag: the table of docs/tags.md, on which the rule for tags
 * stands.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab, type LabHost, labMissing } from '../../lab/fleet/lab.ts';
import { makeImage } from '../../lab/images/images.ts';
import { waitUntil } from '../../lab/processes/exec.ts';
import { quickPush } from '../../lab/registries/quick-push.ts';
import {
  type Faults,
  type SwitchableRegistry,
  startSwitchable,
} from '../../lab/registries/switchable-registry.ts';
import { Asked, MIRROR } from '../support/asked.ts';
import { ImageEvents, leasesOf } from '../support/pull-evidence.ts';
import { namespaceOf, pullBy, TAG_VERSIONS, WAYS, type Way } from '../support/tag-pulls.ts';

/** While the upstream takes that long, a pull's lease can be looked at. */
const SLOW = { delayMs: 500 };
const SILENT: Faults = { tag: { isSilent: true } };
/** An event is there within milliseconds of the end of a pull; a busy machine takes longer. */
const SETTLED_MS = 5_000;
const NO_EVENT_MS = 500;
const MIRROR_ALONE = ['HEAD tag'];
const ALL = ['HEAD tag', 'GET digest', 'GET blob', 'GET blob'];

interface Row {
  readonly situation: string;
  /** What is pushed before. */
  readonly image?: string;
  readonly faults?: Faults;
  /** By this signal; a call of CRI is cancelled. */
  readonly killedBy?: NodeJS.Signals;
  /** Of the mirror, which answers 404. */
  readonly asked: readonly string[];
  /** Of the very name that was asked for; undefined: none. */
  readonly event?: 'create' | 'update';
}

const ROWS: readonly Row[] = [
  { situation: 'new', image: 'a', asked: ALL, event: 'create' },
  { situation: 'unchanged', asked: MIRROR_ALONE, event: 'update' },
  { situation: 'moved', image: 'b', asked: ALL, event: 'update' },
  { situation: 'upstream fails', faults: { tag: { ...SLOW, status: 503 } }, asked: MIRROR_ALONE },
  { situation: 'deleted', faults: { tag: { ...SLOW, status: 404 } }, asked: MIRROR_ALONE },
  { situation: 'killed', faults: SILENT, killedBy: 'SIGKILL', asked: MIRROR_ALONE },
  { situation: 'interrupted', faults: SILENT, killedBy: 'SIGINT', asked: MIRROR_ALONE },
];

/** Where `ctr` is gone nobody gives the lease of its pull back, on any version. */
const leavesLease = (way: Way, { killedBy }: Row) => killedBy !== undefined && way !== 'cri';

test('containerd takes a lease for each pull, and tells of those alone that succeed', {
  skip: await labMissing(...TAG_VERSIONS),
}, async (t) => {
  const containerd = TAG_VERSIONS.map((version) => ({ version, cri: true }));
  const lab = await Lab.create({ hosts: TAG_VERSIONS.length, containerd }, t);
  const switchable = await startSwitchable(lab, { h0: {}, h1: {}, h2: {}, h3: {} });
  const watch = async (host: LabHost) =>
    new Pulls(
      lab,
      host,
      switchable[host.name as keyof typeof switchable],
      await Asked.start(lab, host, [MIRROR]),
    );
  const all = await Promise.all(lab.hosts.map(watch));
  await Promise.all(all.map((pulls) => pulls.all(t)));
});

class Pulls {
  readonly #lab: Lab;
  readonly #host: LabHost;
  readonly #registry: SwitchableRegistry;
  readonly #asked: Asked;
  readonly #events: ImageEvents;

  constructor(lab: Lab, host: LabHost, registry: SwitchableRegistry, asked: Asked) {
    this.#lab = lab;
    this.#host = host;
    this.#registry = registry;
    this.#asked = asked;
    this.#events = new ImageEvents(lab, host);
  }

  async all(t: TestContext): Promise<void> {
    for (const way of WAYS) {
      for (const row of ROWS) await this.#see(t, way, row);
    }
  }

  async #see(t: TestContext, way: Way, row: Row): Promise<void> {
    const name = `${this.#host.containerd.version} ${way}: ${row.situation}`;
    const repository = `evidence/${this.#host.name}-${way}`;
    const ref = `${this.#registry.registry}/${repository}:v1`;
    if (row.image) await this.#push(repository, row.image);
    await this.#registry.setFaults(row.faults ?? { tag: SLOW });
    await this.#asked.forget();
    await this.#events.forget();
    const namespace = namespaceOf(way);
    const before = await leasesOf(this.#host, namespace);
    const leases = async () => {
      const now = await leasesOf(this.#host, namespace);
      return now.filter((lease) => !before.includes(lease));
    };
    const killing = new AbortController();
    const { signal } = killing;
    const options = row.killedBy ? { signal, killSignal: row.killedBy } : {};
    const pulling = pullBy(this.#host, way, ref, options).then(
      () => true,
      () => false,
    );
    await waitUntil(`${name}: it asks`, async () => (await this.#asked.requests()).length > 0);
    const during = await leases();
    if (row.killedBy) killing.abort();
    assert.equal(await pulling, row.event !== undefined, `${name}: outcome`);
    assert.equal(during.length, 1, `${name}: lease while it pulls`);
    assert.match(during[0] ?? '', /^\d{1,9}-[\w-]{4}$/, name);
    await this.#assertEvent(name, ref, namespace, row);
    const isLeft = leavesLease(way, row);
    const isSo = async () => ((await leases()).length === 1) === isLeft;
    await waitUntil(`${name}: lease ${isLeft ? 'left' : 'given back'}`, isSo, {
      timeoutMs: SETTLED_MS,
    });
    assert.deepEqual(await this.#requests(), row.asked, `${name}: requests`);
    t.diagnostic(name);
  }

  async #push(repository: string, seed: string): Promise<void> {
    const shape = { seed: `${repository}-${seed}`, layers: 1, layerBytes: 1024 };
    const dir = join(this.#lab.dir, shape.seed.replaceAll('/', '-'));
    await quickPush(this.#lab.upstream, await makeImage(dir, shape), repository);
  }

  async #assertEvent(name: string, ref: string, namespace: string, { event }: Row): Promise<void> {
    const seen = async () => {
      const own = (await this.#events.all()).filter((one) => one.name === ref);
      assert.ok(
        own.every((one) => one.namespace === namespace),
        name,
      );
      return own.map(({ topic }) => topic);
    };
    if (event === undefined) {
      await sleep(NO_EVENT_MS);
      assert.deepEqual(await seen(), [], `${name}: events`);
    } else {
      const isThere = async () => (await seen()).includes(`/images/${event}`);
      await waitUntil(`${name}: event`, isThere, { timeoutMs: SETTLED_MS });
    }
  }

  async #requests(): Promise<string[]> {
    const kindOf = (path: string) => {
      if (path.includes('/blobs/')) return 'blob';
      return path.includes('/manifests/sha256:') ? 'digest' : 'tag';
    };
    return (await this.#asked.requests()).map(({ method, path }) => `${method} ${kindOf(path)}`);
  }
}
