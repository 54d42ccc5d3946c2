/**
 * Which lab owns which number. The number makes the subnet and the names of one lab unique among
 * all test processes of the machine. Taking a number first removes what dead processes left.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run, succeeds } from '../processes/exec.ts';
import { withLock } from '../processes/lock.ts';

/**
 * Short, because unix socket paths end at 107 characters; on a disk, because overlayfs and size.
 */
export const LABS_DIR = '/var/tmp/spegel-lab';
const MAX_LABS = 250;

export interface Slot {
  readonly number: number;
  /** Everything of this lab on disk; gone after release. */
  readonly dir: string;
}

/** The prefix of all network namespaces of a lab, also what the sweeper looks for. */
export const namespacePrefix = (slot: number) => `sglab${slot}-`;

/** pid and start time: a pid alone is reused after a while. */
async function identity(pid: number | string): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  return startTime === undefined ? undefined : `${pid} ${startTime}`;
}

async function ownerLives(dir: string): Promise<boolean> {
  const owner = await readFile(join(dir, 'owner'), 'utf8').catch(() => '');
  const [pid = ''] = owner.split(' ');
  return pid !== '' && (await identity(pid)) === owner;
}

async function namespacesOf(ip: string, slot: number): Promise<string[]> {
  const { stdout } = await run([ip, 'netns', 'list']);
  const names = stdout.split('\n').map((line) => line.split(' ')[0] ?? '');
  return names.filter((name) => name.startsWith(namespacePrefix(slot)));
}

/** Ends what still runs in the lab's namespaces, then removes them and the directory. */
async function wipe(ip: string, slot: number): Promise<void> {
  for (const name of await namespacesOf(ip, slot)) {
    const { stdout } = await run([ip, 'netns', 'pids', name]);
    for (const pid of stdout.split('\n').filter(Boolean)) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {} // it ended by itself meanwhile
    }
    // veth pairs and bridges go with the namespaces that they are in
    await run([ip, 'netns', 'delete', name]);
    await rm(join('/etc/netns', name), { recursive: true, force: true });
  }
  await succeeds([ip, 'link', 'delete', `sglab${slot}`]); // when only this end was made
  const dir = join(LABS_DIR, String(slot));
  // What a test that was ended left immutable would keep all further labs from beginning.
  const remove = () => rm(dir, { recursive: true, force: true, maxRetries: 5 });
  await remove().catch(async () => {
    await succeeds(['chattr', '-R', '-f', '-i', dir]);
    await remove();
  });
}

async function sweep(ip: string): Promise<Set<string>> {
  const taken = new Set<string>();
  await mkdir(LABS_DIR, { recursive: true });
  for (const name of await readdir(LABS_DIR)) {
    if (!/^\d+$/.test(name)) continue;
    if (await ownerLives(join(LABS_DIR, name))) taken.add(name);
    else await wipe(ip, Number(name));
  }
  return taken;
}

/**
 * Takes the next free number for this process. Numbers are used in turn, so that what a lab left
 * behind, if it did, is not mistaken for that of a later one.
 */
export function claimSlot(ip: string): Promise<Slot> {
  return withLock(join(LABS_DIR, 'lock'), async () => {
    const taken = await sweep(ip);
    const last = Number(await readFile(join(LABS_DIR, 'last'), 'utf8').catch(() => '0'));
    for (let i = 0; i < MAX_LABS; i++) {
      const number = ((last + i) % MAX_LABS) + 1;
      if (taken.has(String(number))) continue;
      const dir = join(LABS_DIR, String(number));
      await mkdir(dir);
      await writeFile(join(dir, 'owner'), (await identity(process.pid)) ?? '');
      await writeFile(join(LABS_DIR, 'last'), String(number));
      return { number, dir };
    }
    throw new Error(`all ${MAX_LABS} labs are taken, see ${LABS_DIR}`);
  });
}

export function releaseSlot(ip: string, slot: Slot): Promise<void> {
  return withLock(join(LABS_DIR, 'lock'), () => wipe(ip, slot.number));
}
