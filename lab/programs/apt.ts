/** Debian packages without installing them: an apt configuration of our own, and `dpkg -x`. */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../processes/exec.ts';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const FETCH_TIMEOUT_MS = 10 * 60_000;

export interface Apt {
  /** Where it puts the packages that it fetches. */
  readonly archives: string;
  /** apt-get with these words. */
  call(...args: string[]): Promise<unknown>;
}

/** The Debian mirror that this machine's own apt is set up with. */
export async function machinesMirror(): Promise<string> {
  const query = ['--format', '$(REPO_URI)', 'Created-By: Packages'];
  const { stdout } = await run(['apt-get', 'indextargets', ...query]);
  const mirror = stdout.split('\n').find((uri) => /\/debian\/?$/.test(uri));
  if (mirror === undefined) throw new Error("apt's sources name no Debian mirror");
  return mirror;
}

/** An apt with the machine's own sources, for packages that have to fit what is installed. */
export function machinesApt(dir: string): Promise<Apt> {
  return aptIn(join(dir, 'apt-machine'), {});
}

/** An apt that sees only these suites, for single packages whatever the machine has. */
export async function suitesApt(dir: string, suites: readonly string[]): Promise<Apt> {
  const home = join(dir, 'apt-suites');
  const mirror = process.env.SPEGEL_LAB_MIRROR ?? (await machinesMirror());
  const sources = suites.map((suite) => `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`);
  await mkdir(join(home, 'parts'), { recursive: true });
  await writeFile(join(home, 'sources.list'), sources.join(''));
  return aptIn(home, {
    'Dir::Etc::sourcelist': join(home, 'sources.list'),
    'Dir::Etc::sourceparts': join(home, 'parts'),
    'Dir::Etc::preferencesparts': join(home, 'parts'),
  });
}

/** An apt that keeps its state in our directory. */
async function aptIn(home: string, sources: Readonly<Record<string, string>>): Promise<Apt> {
  const archives = join(home, 'cache/archives');
  for (const sub of ['lists/partial', 'cache/archives/partial']) {
    await mkdir(join(home, sub), { recursive: true });
  }
  const options = {
    ...sources,
    'Dir::State': home,
    'Dir::State::lists': join(home, 'lists'),
    'Dir::State::status': '/var/lib/dpkg/status', // what the machine has need not be fetched
    'Dir::Cache': join(home, 'cache'),
    'Debug::NoLocking': '1', // nothing of dpkg's is written; our own lock is held
    'APT::Sandbox::User': 'root',
    'APT::Update::Error-Mode': 'any',
    // a frozen mirror is as good: packages are signed, and only tests run them
    'Acquire::Check-Valid-Until': 'false',
    'Acquire::Languages': 'none',
    'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled': 'false',
    'Acquire::Retries': '3',
  };
  const flags = Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  const call = (...args: string[]) => {
    const env = { DEBIAN_FRONTEND: 'noninteractive' };
    // The directory is where `download` puts what it fetched.
    const settings = { timeoutMs: FETCH_TIMEOUT_MS, env, cwd: archives };
    return run(['apt-get', '-q', ...flags, ...args], settings);
  };
  return { archives, call };
}

/**
 * Has apt fetch packages, with these words, into a clean archive directory, and unpacks all that
 * came.
 */
export async function unpack(apt: Apt, into: string, ...words: string[]): Promise<void> {
  for (const name of await readdir(apt.archives)) {
    if (name.endsWith('.deb')) await rm(join(apt.archives, name));
  }
  await apt.call(...words);
  await rm(into, { recursive: true, force: true });
  await mkdir(into, { recursive: true });
  for (const name of await readdir(apt.archives)) {
    if (name.endsWith('.deb')) await run(['dpkg', '-x', join(apt.archives, name), into]);
  }
}
