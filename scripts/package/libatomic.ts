import { machineOf, SEGMENT_EXECUTABLE, SEGMENT_LOAD, segmentsOf } from './elf.ts';
import { Elf64Dynamic } from './elf-dynamic.ts';

/**
 * Node is linked against libatomic.so.1, which a minimal Debian, Ubuntu or Fedora has not, for the
 * sake of one function, which V8 calls with eight bytes only. One downloaded file would not start
 * there, and could not even say why. So the executable gets that function itself, and no longer
 * asks for the library.
 */
const LIBRARY = 'libatomic.so.1';
const SYMBOL = '__atomic_compare_exchange';

interface Machine {
  /**
   * bool (size, object, expected, desired, ...): compare and exchange of 8 bytes; any other size
   * traps.
   */
  readonly code: Buffer;
  /** Relocations that mean "the address of the symbol", and the one that means "this address". */
  readonly ofSymbol: readonly number[];
  readonly relative: number;
}

const hex = (...lines: string[]) => Buffer.from(lines.join('').replaceAll(' ', ''), 'hex');

const MACHINES: Readonly<Record<number, Machine>> = {
  // x86-64
  62: {
    code: hex(
      'f3 0f 1e fa', //     endbr64
      '48 83 ff 08', //     cmp   $8, %rdi
      '75 17', //           jne   2f
      '48 8b 02', //        mov   (%rdx), %rax
      '4c 8b 11', //        mov   (%rcx), %r10
      'f0 4c 0f b1 16', //  lock cmpxchg %r10, (%rsi)
      '0f 94 c1', //        sete  %cl
      '74 03', //           je    1f
      '48 89 02', //        mov   %rax, (%rdx)
      '0f b6 c1', //     1: movzx %cl, %eax
      'c3', //              ret
      '0f 0b', //        2: ud2
    ),
    ofSymbol: [6, 7], // R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT
    relative: 8, // R_X86_64_RELATIVE
  },
  // AArch64
  183: {
    code: hex(
      '5f 24 03 d5', //     bti   c
      '1f 20 00 f1', //     cmp   x0, #8
      'c1 01 00 54', //     b.ne  3f
      '49 00 40 f9', //     ldr   x9, [x2]
      '6a 00 40 f9', //     ldr   x10, [x3]
      '2b fc 5f c8', //  1: ldaxr x11, [x1]
      '7f 01 09 eb', //     cmp   x11, x9
      'a1 00 00 54', //     b.ne  2f
      '2a fc 0c c8', //     stlxr w12, x10, [x1]
      '8c ff ff 35', //     cbnz  w12, 1b
      '20 00 80 52', //     mov   w0, #1
      'c0 03 5f d6', //     ret
      '5f 3f 03 d5', //  2: clrex
      '4b 00 00 f9', //     str   x11, [x2]
      '00 00 80 52', //     mov   w0, #0
      'c0 03 5f d6', //     ret
      '00 00 00 00', //  3: udf   #0
    ),
    ofSymbol: [1025, 1026], // R_AARCH64_GLOB_DAT, R_AARCH64_JUMP_SLOT
    relative: 1027, // R_AARCH64_RELATIVE
  },
};

/**
 * Frees a Node binary of libatomic, in place. Throws when it needs more of the library than is
 * known here, as a later Node may: then the list above is to be made longer, or the library to be
 * shipped.
 */
export function withoutLibatomic(file: Buffer): void {
  const machine = MACHINES[machineOf(file)];
  if (machine === undefined) throw new Error(`no code for ELF machine ${machineOf(file)}`);
  const dynamic = new Elf64Dynamic(file);
  const symbols = dynamic.symbolsOf(LIBRARY);
  if (symbols.length === 0 && !dynamic.needed().includes(LIBRARY)) return;
  const [symbol, ...more] = symbols;
  if (symbol?.name !== SYMBOL || more.length > 0) {
    const names = symbols.map(({ name }) => name).join(', ');
    throw new Error(`expected Node to need only ${SYMBOL} of ${LIBRARY}, it needs ${names}`);
  }
  const address = appendCode(file, machine.code);
  const isOfSymbol = (type: number) => machine.ofSymbol.includes(type);
  dynamic.bind(symbol, address, isOfSymbol, machine.relative);
  dynamic.forget(LIBRARY);
}

/**
 * Puts code into the bytes between the end of the executable segment and the next page; gives its
 * address.
 */
function appendCode(file: Buffer, code: Buffer): number {
  const loaded = segmentsOf(file).filter(({ type }) => type === SEGMENT_LOAD);
  const index = loaded.findIndex(({ flags }) => (flags & SEGMENT_EXECUTABLE) !== 0);
  const segment = loaded[index];
  const next = loaded[index + 1];
  if (segment === undefined || next === undefined) throw new Error('no executable segment');
  const end = segment.offset + segment.fileSize;
  const at = Math.ceil(end / 16) * 16;
  const isFree = file.subarray(end, at + code.length).every((byte) => byte === 0);
  if (!isFree || at + code.length > next.offset) {
    throw new Error('expected room for code behind the executable segment, found none');
  }
  code.copy(file, at);
  const size = BigInt(at + code.length - segment.offset);
  file.writeBigUInt64LE(size, segment.at + 32);
  file.writeBigUInt64LE(size, segment.at + 40);
  return segment.address + (at - segment.offset);
}
