/** An administrator at work in certs.d, and what he may rely on: a model of which lines are his. */
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import type { Edit } from './arbitrary-edits.ts';
import { numbered } from './arbitrary-toml.ts';

/** What he did to one hosts.toml. */
export interface OwnFile {
  /** His lines in it, in order: those with a token. */
  lines: string[];
  /** His lines that we set aside. */
  away: string[];
  /** He wrote between our marks, or took lines from there. */
  isBlockEdited: boolean;
  /** The file is of his making, so it stays, be it empty. */
  isHis: boolean;
  /** The mode that he gave it; undefined: none. */
  mode: number | undefined;
  /** The mode in which we left the file: whoever gives it that again seems to have done nothing. */
  leftMode?: number | undefined;
}

const MARK = /# >>> spegel [0-9a-f]{12}:.*/;

/** The lines of a text that hold a token. */
export function tokenLines(content: string): string[] {
  // Our mark may stand behind the administrator's last line.
  const lines = content
    .split('\n')
    .map((line) => line.replace(MARK, '').replace(/^\uFEFF|\r$/g, ''));
  return lines.filter((line) => /adm\d+x/.test(line));
}

/**
 * Those that are the administrator's: between our marks, where we copy his `_default`, only those
 * `known`.
 */
export function ownLines(content: string, known: readonly string[]): string[] {
  let isInside = false;
  return content.split('\n').flatMap((line) => {
    const isTyped = !isInside || known.some((other) => line.startsWith(other));
    isInside = (isInside && !line.startsWith('# <<< spegel')) || MARK.test(line);
    return isTyped ? tokenLines(line) : [];
  });
}

const BLOCK = /# >>> spegel [0-9a-f]{12}:[^\n]*\n(?:[^\n]*\n)*?# <<< spegel[^\n]*(?:\n|$)/g;

/** A hosts.toml without blocks of ours, for where nobody edited them. */
export function withoutOurs(content: string): string {
  return content.replace(BLOCK, (block, at: number) => {
    // Lines that came to stand on both sides of a block that began within a line stay two.
    const isWithin = !/(?:^\uFEFF?|\n)$/.test(content.slice(0, at));
    return isWithin && at + block.length < content.length ? '\n' : '';
  });
}

/**
 * The mode of a file that he put somewhere; one with nothing of his in it cannot be told from ours.
 */
function modeOf(path: string): number | undefined {
  const isOurs = withoutOurs(fs.readFileSync(path, 'utf8')) === '';
  return isOurs ? undefined : fs.statSync(path).mode & 0o7777;
}

/** Writes a file whatever its mode, as root does: an administrator is root, a test is any user. */
function writeAsRoot(path: string, text: string): void {
  const mode = fs.statSync(path).mode & 0o7777;
  fs.chmodSync(path, mode | 0o200);
  fs.writeFileSync(path, text);
  fs.chmodSync(path, mode);
}

export class Administrator {
  readonly files = new Map<string, OwnFile>();
  readonly #root: string;
  readonly #count = { value: 1_000_000 };

  /** Everything that is in certs.d now is his. */
  constructor(root: string) {
    this.#root = root;
    for (const path of this.#hostsFiles()) this.#owns(path);
  }

  /** What is known of a hosts.toml. */
  of(path: string): OwnFile {
    let own = this.files.get(path);
    if (own === undefined) {
      own = { lines: [], away: [], isBlockEdited: false, isHis: false, mode: undefined };
      this.files.set(path, own);
    }
    return own;
  }

  /** Does it; what is not possible now is not done. */
  apply(given: Edit): void {
    if ('file' in given && typeof given.file === 'number') this.#editFile(given, given.file);
    else if ('name' in given) this.#editDirectory(given, given.name);
  }

  #editFile(given: Edit, index: number): void {
    const paths = this.#hostsFiles();
    const path = paths[index % paths.length];
    if (path === undefined) return;
    const full = join(this.#root, path);
    const content = fs.readFileSync(full, 'utf8');
    const own = this.of(path);
    switch (given.do) {
      case 'insert':
        this.#splice(path, given.at, 0, given.text);
        break;
      case 'remove':
        this.#splice(path, given.at, given.count, '');
        break;
      case 'replace':
        this.#splice(path, given.at, 1, given.text);
        break;
      case 'turn line ends':
        writeAsRoot(full, content.replaceAll(/\r?\n/g, '\r\n'));
        break;
      case 'save as editors do': {
        const { mode: bits, uid, gid } = fs.statSync(full);
        fs.writeFileSync(`${full}~`, content);
        fs.chmodSync(`${full}~`, bits & 0o7777);
        fs.chownSync(`${full}~`, uid, gid);
        fs.renameSync(`${full}~`, full);
        break;
      }
      case 'chmod':
        // Where it is so already nobody can see whether he or we wanted it.
        if ((fs.statSync(full).mode & 0o7777) === given.mode) return;
        fs.chmodSync(full, given.mode);
        // What he does to a file of ours alone ends with that file.
        own.mode =
          withoutOurs(content) === '' || own.leftMode === given.mode ? undefined : given.mode;
        break;
      case 'delete':
        fs.unlinkSync(full);
        this.#forget(path);
        break;
      case 'copy':
        this.#copy(path, given.name);
    }
  }

  #splice(path: string, position: number, count: number, template: string): void {
    const full = join(this.#root, path);
    const lines = fs.readFileSync(full, 'utf8').split(/(?<=\n)/);
    const index = Math.min(position, lines.length);
    const begin = lines.findIndex((line) => MARK.test(line));
    const end = lines.findIndex((line) => line.startsWith('# <<< spegel'));
    const own = this.of(path);
    if (begin !== -1 && index <= end && index + count > begin) own.isBlockEdited ||= count > 0;
    if (begin !== -1 && index > begin && index <= end) own.isBlockEdited = true;
    let added = numbered(template, this.#count);
    if (lines[0]?.endsWith('\r\n')) added = added.replaceAll('\n', '\r\n');
    // A line typed behind the last one begins with the line end that the last one lacks.
    const last = lines[index - 1];
    if (added !== '' && last !== undefined && !last.endsWith('\n')) added = `\n${added}`;
    lines.splice(index, count, added);
    writeAsRoot(full, lines.join(''));
    own.lines = ownLines(lines.join(''), [...own.lines, ...tokenLines(added)]);
  }

  #copy(from: string, to: string): void {
    const path = `${to}/hosts.toml`;
    const full = join(this.#root, path);
    if (fs.lstatSync(full, { throwIfNoEntry: false })) return;
    fs.mkdirSync(dirname(full), { recursive: true });
    fs.copyFileSync(join(this.#root, from), full);
    fs.chmodSync(full, fs.statSync(join(this.#root, from)).mode & 0o7777);
    const { away } = this.of(path);
    const { lines, isBlockEdited, isHis } = this.of(from);
    // With a block of ours the mode may be ours, too: a copy in a place that had another one gets
    // that back.
    const isMixed = withoutOurs(fs.readFileSync(full, 'utf8')) !== fs.readFileSync(full, 'utf8');
    const mode = isMixed ? undefined : modeOf(full);
    const copy = { lines: [...lines], away, isBlockEdited, isHis, mode };
    this.files.set(path, copy);
  }

  #editDirectory(given: Edit, directory: string): void {
    const full = join(this.#root, directory);
    const path = `${directory}/hosts.toml`;
    switch (given.do) {
      case 'write':
        fs.mkdirSync(full, { recursive: true });
        fs.rmSync(join(full, 'hosts.toml'), { recursive: true, force: true });
        fs.writeFileSync(join(full, 'hosts.toml'), numbered(given.text, this.#count));
        fs.chmodSync(join(full, 'hosts.toml'), given.mode);
        this.#owns(path);
        break;
      case 'make directory':
        fs.mkdirSync(full, { recursive: true });
        break;
      case 'remove directory':
        fs.rmSync(full, { recursive: true, force: true });
        this.#forget(path);
        break;
      case 'rename directory':
        this.#rename(directory, given.to);
        break;
      case 'certificate':
        if (!fs.existsSync(full)) return;
        if (given.isThere) fs.writeFileSync(join(full, given.file), 'a certificate of adm0x\n');
        else fs.rmSync(join(full, given.file), { force: true });
    }
  }

  #rename(from: string, to: string): void {
    const [source, target] = [join(this.#root, from), join(this.#root, to)];
    if (!fs.existsSync(source) || fs.existsSync(target)) return;
    fs.renameSync(source, target);
    const { away, ...own } = this.of(`${from}/hosts.toml`);
    const moved = { ...own, away: this.of(`${to}/hosts.toml`).away };
    this.#forget(`${from}/hosts.toml`);
    // What we made there is his now, so far as it can be told.
    if (this.#hostsFiles().includes(`${to}/hosts.toml`)) {
      moved.mode = modeOf(join(target, 'hosts.toml'));
      this.files.set(`${to}/hosts.toml`, moved);
    }
  }

  #owns(path: string): void {
    const full = join(this.#root, path);
    const own = this.of(path);
    own.lines = tokenLines(fs.readFileSync(full, 'utf8'));
    own.mode = fs.statSync(full).mode & 0o7777;
    own.isHis = true;
    own.isBlockEdited = false;
  }

  /** He took the file away; what we set aside of it is still his. */
  #forget(path: string): void {
    const { away } = this.of(path);
    this.files.set(path, { lines: [], away, isBlockEdited: false, isHis: false, mode: undefined });
  }

  /** Every hosts.toml that is a file with text in it, relative to certs.d. */
  #hostsFiles(): string[] {
    return fs
      .readdirSync(this.#root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && entry.name !== '.spegel')
      .map(({ name: directory }) => `${directory}/hosts.toml`)
      .filter((path) => {
        const full = join(this.#root, path);
        const stat = fs.lstatSync(full, { throwIfNoEntry: false });
        return stat?.isFile() && !fs.readFileSync(full).includes(0xff);
      })
      .sort();
  }
}
