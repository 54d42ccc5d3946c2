import { number, SEGMENT_DYNAMIC, SEGMENT_LOAD, segmentsOf, textAt } from './elf.ts';

const TAG = {
  needed: 1,
  pltRelocationsSize: 2,
  strings: 5,
  symbols: 6,
  relocations: 7,
  relocationsSize: 8,
  pltRelocations: 23,
  versions: 0x6ffffff0,
  neededVersions: 0x6ffffffe,
  neededVersionsCount: 0x6fffffff,
} as const;

const SYMBOL_SIZE = 24;
const RELOCATION_SIZE = 24;
/** "No version": what a symbol of the program itself has. */
const VERSION_GLOBAL = 1;
const VERSION_MASK = 0x7fff;

interface DynamicEntry {
  readonly at: number;
  readonly tag: number;
  readonly value: number;
}

export interface NeededSymbol {
  readonly index: number;
  readonly name: string;
}

/**
 * What the dynamic linker reads of an executable: the libraries and symbols it needs, and where
 * from.
 */
export class Elf64Dynamic {
  readonly #file: Buffer;
  readonly #entries: readonly DynamicEntry[];

  constructor(file: Buffer) {
    this.#file = file;
    const segment = segmentsOf(file).find(({ type }) => type === SEGMENT_DYNAMIC);
    if (segment === undefined) throw new Error('expected a dynamically linked executable');
    const entries: DynamicEntry[] = [];
    for (let at = segment.offset; at < segment.offset + segment.fileSize; at += 16) {
      const tag = number(file.readBigUInt64LE(at));
      if (tag === 0) break;
      entries.push({ at, tag, value: number(file.readBigUInt64LE(at + 8)) });
    }
    this.#entries = entries;
  }

  /** Names of the libraries that must be there for the program to start. */
  needed(): string[] {
    return this.#entries
      .filter(({ tag }) => tag === TAG.needed)
      .map(({ value }) => this.#string(value));
  }

  /** The symbols that are to come from this library, by the versions that it gives them. */
  symbolsOf(library: string): NeededSymbol[] {
    const versions = this.#versionsOf(library)?.numbers ?? [];
    const table = this.#offset(TAG.versions);
    const symbols = this.#offset(TAG.symbols);
    // The string table follows the symbols: the format itself does not say how many there are.
    const count = (this.#offset(TAG.strings) - symbols) / SYMBOL_SIZE;
    const found: NeededSymbol[] = [];
    for (let index = 0; index < count; index += 1) {
      const version = this.#file.readUInt16LE(table + index * 2) & VERSION_MASK;
      if (!versions.includes(version)) continue;
      const name = this.#string(this.#file.readUInt32LE(symbols + index * SYMBOL_SIZE));
      found.push({ index, name });
    }
    return found;
  }

  /** Makes every relocation that asks for the symbol one that gives this address. */
  bind(
    symbol: NeededSymbol,
    address: number,
    isOfSymbol: (type: number) => boolean,
    relative: number,
  ): void {
    for (const at of this.#relocations()) {
      const info = this.#file.readBigUInt64LE(at + 8);
      if (Number(info >> 32n) !== symbol.index) continue;
      const type = Number(info & 0xffffffffn);
      if (!isOfSymbol(type) || this.#file.readBigInt64LE(at + 16) !== 0n) {
        throw new Error(`${symbol.name}: relocation of type ${type} is not known here`);
      }
      this.#file.writeBigUInt64LE(BigInt(relative), at + 8);
      this.#file.writeBigInt64LE(BigInt(address), at + 16);
    }
    this.#file.writeUInt16LE(VERSION_GLOBAL, this.#offset(TAG.versions) + symbol.index * 2);
  }

  /** Takes a library, of which nothing is needed any more, from the lists of what must be there. */
  forget(library: string): void {
    const versions = this.#versionsOf(library);
    if (versions !== undefined) this.#unlinkVersions(versions);
    const needed = this.#entries.filter(({ tag }) => tag === TAG.needed);
    const other = needed.find(({ value }) => this.#string(value) !== library);
    if (other === undefined) throw new Error(`${library} is the only library`);
    for (const { at, value } of needed) {
      // An entry cannot be left out; a library that is named twice is loaded once.
      if (this.#string(value) === library) this.#write(at + 8, other.value);
    }
  }

  #versionsOf(library: string) {
    let previous: number | undefined;
    let at = this.#offset(TAG.neededVersions);
    for (let left = this.#value(TAG.neededVersionsCount); left > 0; left -= 1) {
      const next = this.#file.readUInt32LE(at + 12);
      if (this.#string(this.#file.readUInt32LE(at + 4)) === library) {
        return { at, previous, next, numbers: this.#versionNumbers(at) };
      }
      previous = at;
      at += next;
    }
    return undefined;
  }

  #versionNumbers(entry: number): number[] {
    let at = entry + this.#file.readUInt32LE(entry + 8);
    return Array.from({ length: this.#file.readUInt16LE(entry + 2) }, () => {
      const version = this.#file.readUInt16LE(at + 6);
      at += this.#file.readUInt32LE(at + 12);
      return version;
    });
  }

  #unlinkVersions(entry: { previous: number | undefined; next: number; at: number }): void {
    const { at, value } = this.#entry(TAG.neededVersions);
    if (entry.previous === undefined) this.#write(at + 8, value + entry.next);
    else {
      const step = entry.next === 0 ? 0 : entry.at + entry.next - entry.previous;
      this.#file.writeUInt32LE(step, entry.previous + 12);
    }
    const count = this.#entry(TAG.neededVersionsCount);
    this.#write(count.at + 8, count.value - 1);
  }

  *#relocations(): Generator<number> {
    for (const [start, size] of [
      [TAG.relocations, TAG.relocationsSize],
      [TAG.pltRelocations, TAG.pltRelocationsSize],
    ] as const) {
      const from = this.#offset(start);
      const end = from + this.#value(size);
      for (let at = from; at < end; at += RELOCATION_SIZE) yield at;
    }
  }

  #entry(tag: number): DynamicEntry {
    const entry = this.#entries.find((candidate) => candidate.tag === tag);
    if (entry === undefined) throw new Error(`expected dynamic tag ${tag.toString(16)}`);
    return entry;
  }

  #value(tag: number): number {
    return this.#entry(tag).value;
  }

  /** Offset in the file of the table to which this entry points by address. */
  #offset(tag: number): number {
    const address = this.#value(tag);
    const segment = segmentsOf(this.#file).find(
      (one) =>
        one.type === SEGMENT_LOAD && address >= one.address && address < one.address + one.fileSize,
    );
    if (segment === undefined) throw new Error(`address ${address} lies in no segment`);
    return segment.offset + (address - segment.address);
  }

  #string(index: number): string {
    return textAt(this.#file, this.#offset(TAG.strings) + index);
  }

  #write(at: number, value: number): void {
    this.#file.writeBigUInt64LE(BigInt(value), at);
  }
}
