/** Debian packages without installing them: an apt configuration of our own, and `dpkg -x`. */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './exec.ts';

const MIRROR = 'http://deb.debian.org/debian';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const FETCH_TIMEOUT_MS = 10 * 60_000;

export type Apt = (...args: string[]) => Promise<unknown>;

/** An apt that sees only our sources and keeps its state in our directory. */
export async function privateApt(dir: string, suites: readonly string[]): Promise<Apt> {
  const home = join(dir, 'apt');
  for (const sub of ['lists/partial', 'cache/archives/partial', 'parts']) {
    await mkdir(join(home, sub), { recursive: true });
  }
  const mirror = process.env.SPEGEL_LAB_MIRROR ?? MIRROR;
  const sources = suites.map((suite) => `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`);
  await writeFile(join(home, 'sources.list'), sources.join(''));
  const options = {
    'Dir::Etc::sourcelist': join(home, 'sources.list'),
    'Dir::Etc::sourceparts': join(home, 'parts'),
    'Dir::Etc::preferencesparts': join(home, 'parts'),
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
  return async (...args) => {
    const env = { DEBIAN_FRONTEND: 'noninteractive' };
    const cwd = join(home, 'cache/archives'); // where `download` puts what it fetched
    return run(['apt-get', '-q', ...flags, ...args], { timeoutMs: FETCH_TIMEOUT_MS, env, cwd });
  };
}

/** Downloads with a clean archive directory and unpacks every package that came. */
export async function unpack(
  dir: string,
  into: string,
  download: () => Promise<unknown>,
): Promise<void> {
  const archives = join(dir, 'apt/cache/archives');
  for (const name of await readdir(archives)) {
    if (name.endsWith('.deb')) await rm(join(archives, name));
  }
  await download();
  await rm(into, { recursive: true, force: true });
  await mkdir(into, { recursive: true });
  for (const name of await readdir(archives)) {
    if (name.endsWith('.deb')) await run(['dpkg', '-x', join(archives, name), into]);
  }
}
