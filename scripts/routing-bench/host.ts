import { LibraryNodes } from './library-nodes.ts';
import { startMeter } from './meter.ts';
import { OurNodes } from './nodes.ts';
import { RawNodes } from './raw-nodes.ts';

/** A process with many nodes for the bench. Its argument names their kind. */
const KINDS = { ours: OurNodes, library: LibraryNodes, raw: RawNodes };

startMeter();
const kind = process.argv[2] as keyof typeof KINDS;
const methods = new KINDS[kind]() as unknown as Record<string, (...given: unknown[]) => unknown>;

interface Call {
  readonly id: number;
  readonly method: string;
  readonly given: unknown[];
}

process.on('message', async ({ id, method, given }: Call) => {
  try {
    process.send?.({ id, result: await methods[method]?.(...given) });
  } catch (error) {
    process.send?.({ id, error: String(error) });
  }
});
process.once('disconnect', () => process.exit());
