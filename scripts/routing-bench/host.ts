import { LibraryNodes } from './library-nodes.ts';
import { startMeter } from './meter.ts';
import { OurNodes } from './nodes.ts';

/** A process of many nodes for the bench, of ours or (argument `library`) of the library's own. */
startMeter();
const nodes = process.argv[2] === 'library' ? new LibraryNodes() : new OurNodes();
const methods = nodes as unknown as Record<string, (...given: unknown[]) => unknown>;

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
