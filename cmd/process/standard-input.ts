import { untilAborted } from '../../lib/base/abortable.ts';
import { SpegelError } from '../../lib/base/errors.ts';
import type { Context } from './command.ts';

/**
 * Returns all of standard input as UTF-8. Rejects with SpegelError ERR_USAGE if it is empty or
 * longer than `maxBytes`, and with the reason of the signal.
 */
export async function readStandardInput(
  { stdin }: Pick<Context, 'stdin'>,
  maxBytes: number,
  signal: AbortSignal,
): Promise<string> {
  const read = async () => {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of stdin?.() ?? []) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes <= maxBytes) continue;
      const text = `standard input: expected at most ${maxBytes} bytes, got more`;
      throw new SpegelError('ERR_USAGE', text);
    }
    const text = Buffer.concat(chunks).toString('utf8');
    if (text.trim() !== '') return text;
    const empty =
      'standard input: expected a key, got nothing; see what the command before the pipe says';
    throw new SpegelError('ERR_USAGE', empty);
  };
  return await untilAborted(read(), signal);
}
