/** Trees as Go Spegel's `configuration` leaves them. */
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { SCRATCH_BASE } from '../tree.ts';

const OWNER = process.getuid?.() === 0 ? 1234 : undefined;
export const LOCAL = "[host.'http://127.0.0.1:5000']\ncapabilities = ['pull', 'resolve']";
/** As Go Spegel writes it. */
export const go = (server: string) => `server = '${server}'\n\n${LOCAL}\ndial_timeout = '200ms'`;
/** As an early Go Spegel wrote it, which a later one moved into `_backup`. */
export const EARLIER = `server = 'https://quay.io'\n\n${LOCAL}`;
export const PRIVATE =
  '[host."https://harbor.example"]\n  ca = "ca.crt"\n  skip_verify = false # mine\n';
export const PREPENDED = `${go('https://private.example')}\n\n[host.'https://harbor.example']\nca = 'ca.crt'\nskip_verify = false`;

/** A file's text; where a link points to; a directory. Then its mode. */
type Entry = string | { link: string } | null;
export type Files = Record<string, Entry | [Entry, number]>;

/** What the administrator had. */
export const ADMINISTRATORS: Files = {
  'private.example': [null, 0o750],
  'private.example/hosts.toml': [PRIVATE, 0o600],
  'private.example/ca.crt': 'a certificate',
  'private.example/linked.crt': { link: 'ca.crt' },
  'private.example/shared.crt': { link: '../shared/ca.crt' },
  'private.example/client.key': ['a key', 0o400],
  'private.example/nested/client.cert': 'another certificate',
  'docker.io/hosts.toml': 'server = "https://registry-1.docker.io"\n',
  'linked.example': { link: 'docker.io' },
  'unmirrored.example/hosts.toml': ['# mine\n', 0o640],
  'quay.io/hosts.toml': EARLIER,
  'shared/ca.crt': 'a shared certificate',
  empty: [null, 0o700],
  '.hidden': 'hidden',
  'a file': '',
};

/** What `configuration --prepend-existing` of 0.7 puts in its place. */
export const GO: Files = {
  'private.example/hosts.toml': PREPENDED,
  'private.example/ca.crt': 'a certificate',
  'private.example/linked.crt': 'a certificate',
  'private.example/shared.crt': 'a shared certificate',
  'private.example/client.key': 'a key',
  'private.example/nested/client.cert': 'another certificate',
  'docker.io/hosts.toml': go('https://registry-1.docker.io'),
  'linked.example/hosts.toml': go('https://linked.example'),
  'ghcr.io/hosts.toml': go('https://ghcr.io'),
  'new.example:5000/hosts.toml': go('http://new.example:5000'),
  '_default/hosts.toml': `${LOCAL}\ndial_timeout = '200ms'`,
};

/** What was added or edited after it. */
export const LATER: Files = {
  'private.example/later.crt': 'later',
  'docker.io/later/ca.crt': 'later',
  'ghcr.io/ca.crt': 'later',
  'later.example/hosts.toml': 'server = "https://later.example"\n',
  'later.example/linked': { link: '../_backup' },
};
export const EDITED: Files = {
  'docker.io/hosts.toml': `${go('https://registry-1.docker.io')}\n[host."https://mine"]\n`,
  'new.example:5000/hosts.toml': `${go('http://new.example:5000')}\n`,
};

export function write(root: string, files: Files): void {
  for (const [name, described] of Object.entries(files)) {
    const [entry, mode] = Array.isArray(described) ? described : [described, undefined];
    const path = join(root, name);
    fs.mkdirSync(dirname(path), { recursive: true });
    if (entry === null) fs.mkdirSync(path);
    else if (typeof entry === 'string') fs.writeFileSync(path, entry);
    else fs.symlinkSync(entry.link, path);
    if (mode !== undefined) fs.chmodSync(path, mode);
    if (mode !== undefined && OWNER !== undefined) fs.chownSync(path, OWNER, OWNER);
  }
}

export function makeDirectory(t: TestContext): string {
  const root = fs.mkdtempSync(join(SCRATCH_BASE, 'spegel-go-backup-'));
  t.after(() => fs.rmSync(root, { recursive: true, force: true }));
  return root;
}

/** The state after Go Spegel's `configuration`. */
export function make(
  root: string,
  administrators: Files,
  goFiles: Files,
  later: Files = {},
): string {
  write(join(root, '_backup'), administrators);
  fs.mkdirSync(join(root, '_backup'), { recursive: true });
  write(root, goFiles);
  write(root, later);
  return root;
}

/** All there is to see of a directory: kinds, modes, owners, bytes, where links point to. */
export function look(root: string): Record<string, string> {
  const names = fs.readdirSync(root, { recursive: true, encoding: 'latin1' }).sort();
  const seen = names.map((name) => {
    const path = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name, 'latin1')]);
    const { mode, uid, gid } = fs.lstatSync(path);
    let content = '';
    if ((mode & fs.constants.S_IFMT) === fs.constants.S_IFLNK) content = fs.readlinkSync(path);
    if ((mode & fs.constants.S_IFMT) === fs.constants.S_IFREG) {
      content = fs.readFileSync(path, 'latin1');
    }
    return [name, `${mode.toString(8)} ${uid}:${gid} ${content}`];
  });
  return Object.fromEntries(seen);
}

/** What `look` shows of these files, each written where it belongs. */
export function expected(t: TestContext, ...files: Files[]): Record<string, string> {
  const root = makeDirectory(t);
  for (const some of files) write(root, some);
  return look(root);
}
