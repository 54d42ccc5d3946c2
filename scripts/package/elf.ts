/** The parts of an ELF file (64 bit, little endian) that a build looks at and changes. */

const MAGIC = 0x464c457f;
const CLASS_64_LITTLE_ENDIAN = 0x0102;
const PROGRAM_HEADER_SIZE = 56;
const SECTION_HEADER_SIZE = 64;

export const SECTION_TYPE = { stringTable: 3 } as const;
export const SECTION_ALLOCATED = 2n;
export const SEGMENT_LOAD = 1;
export const SEGMENT_DYNAMIC = 2;
export const SEGMENT_EXECUTABLE = 1;

export interface Segment {
  /** Where its header lies in the file. */
  readonly at: number;
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly address: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

export interface Section {
  /** Its header, as it lies in the file. */
  readonly header: Buffer;
  readonly name: string;
  readonly type: number;
  readonly flags: bigint;
  readonly offset: number;
  readonly size: number;
}

/** Throws for a file that is not a 64 bit little endian ELF file. */
export function assertElf(file: Buffer): void {
  if (file.readUInt32LE(0) === MAGIC && file.readUInt16LE(4) === CLASS_64_LITTLE_ENDIAN) return;
  throw new Error('expected a 64 bit little endian ELF file');
}

/** 62 is x86-64, 183 is AArch64. */
export function machineOf(file: Buffer): number {
  return file.readUInt16LE(18);
}

export function segmentsOf(file: Buffer): Segment[] {
  const start = number(file.readBigUInt64LE(32));
  return Array.from({ length: file.readUInt16LE(56) }, (_, index) => {
    const at = start + index * PROGRAM_HEADER_SIZE;
    return {
      at,
      type: file.readUInt32LE(at),
      flags: file.readUInt32LE(at + 4),
      offset: number(file.readBigUInt64LE(at + 8)),
      address: number(file.readBigUInt64LE(at + 16)),
      fileSize: number(file.readBigUInt64LE(at + 32)),
      memorySize: number(file.readBigUInt64LE(at + 40)),
    };
  });
}

export function sectionsOf(file: Buffer): Section[] {
  const start = number(file.readBigUInt64LE(40));
  const headers = Array.from({ length: file.readUInt16LE(60) }, (_, index) => {
    const at = start + index * SECTION_HEADER_SIZE;
    return file.subarray(at, at + SECTION_HEADER_SIZE);
  });
  const names = headers[file.readUInt16LE(62)];
  if (names === undefined) throw new Error('expected a table of section names, found none');
  const namesAt = number(names.readBigUInt64LE(24));
  return headers.map((header) => ({
    header,
    name: textAt(file, namesAt + header.readUInt32LE(0)),
    type: header.readUInt32LE(4),
    flags: header.readBigUInt64LE(8),
    offset: number(header.readBigUInt64LE(24)),
    size: number(header.readBigUInt64LE(32)),
  }));
}

/** The text that ends with the next zero byte. */
export function textAt(file: Buffer, offset: number): string {
  return file.toString('latin1', offset, file.indexOf(0, offset));
}

/**
 * Offsets and addresses stay far below what a double holds exactly; a file that says otherwise is
 * broken.
 */
export function number(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error(`ELF: ${value} is out of range`);
  return Number(value);
}
