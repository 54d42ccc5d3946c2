import {
  assertElf,
  SECTION_ALLOCATED,
  SECTION_TYPE,
  SEGMENT_LOAD,
  type Section,
  sectionsOf,
  segmentsOf,
} from './elf.ts';

/**
 * An executable without symbols and debug information, a quarter of Node's size: what is not loaded
 * lies behind all that is, so the file is cut there. Done here because a machine's `strip` knows
 * only its own architecture, and because its version would otherwise decide over the bytes of a
 * release.
 */
export function strip(file: Buffer): Buffer {
  assertElf(file);
  const sections = sectionsOf(file);
  const kept = sections.filter((section, i) => i === 0 || isLoaded(section));
  if (!kept.every((section, i) => section === sections[i])) {
    // Sections name each other by number: those that stay must keep theirs.
    throw new Error('expected the sections that are loaded to come before all others');
  }
  const ends = segmentsOf(file)
    .filter(({ type }) => type === SEGMENT_LOAD)
    .map(({ offset, fileSize }) => offset + fileSize);
  return withTable(file.subarray(0, Math.max(...ends)), kept);
}

function isLoaded({ flags }: Section): boolean {
  return (flags & SECTION_ALLOCATED) !== 0n;
}

/** What is loaded, then a table of section names, then the section headers. */
function withTable(loaded: Buffer, kept: readonly Section[]): Buffer<ArrayBuffer> {
  const names = Buffer.from(`${[...kept.map(({ name }) => name), '.shstrtab'].join('\0')}\0`);
  const padding = Buffer.alloc((8 - ((loaded.length + names.length) % 8)) % 8);
  let nameAt = 0;
  const headers = kept.map(({ header, name }): Buffer => {
    const copy = Buffer.from(header);
    copy.writeUInt32LE(nameAt, 0);
    nameAt += name.length + 1;
    return copy;
  });
  headers.push(namesHeader(nameAt, loaded.length, names.length));
  const file = Buffer.concat([loaded, names, padding, ...headers]);
  file.writeBigUInt64LE(BigInt(loaded.length + names.length + padding.length), 40);
  file.writeUInt16LE(headers.length, 60);
  file.writeUInt16LE(headers.length - 1, 62);
  return file;
}

function namesHeader(name: number, offset: number, size: number): Buffer {
  const header = Buffer.alloc(64);
  header.writeUInt32LE(name, 0);
  header.writeUInt32LE(SECTION_TYPE.stringTable, 4);
  header.writeBigUInt64LE(BigInt(offset), 24);
  header.writeBigUInt64LE(BigInt(size), 32);
  header.writeBigUInt64LE(1n, 48);
  return header;
}
