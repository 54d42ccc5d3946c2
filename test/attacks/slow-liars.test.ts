/**
 * Liars that also cost time, and those whose lies are fetched in parallel. The former are apart: a
 * fleet that has lost time with its peers asks none for a while, so that no other lie is heard.
 */
import { attackTest } from './attack-tests.ts';

attackTest('a drip', { drip: [{ lie: 'drip' }] }, { isRare: true });

attackTest('silence and reset', {
  'cut-silent': [{ lie: 'cut-silent' }],
  'cut-reset': [{ lie: 'cut-reset' }],
});

// Not on 2.1: after a chunk that was cut, 2.1.9 was seen to hang while no answer of the daemon was
// due. And no cut: containerd 2.4 that fetches so does not go on at the upstream
// (docs/parallel-fetch.md).
attackTest(
  'parallel range fetching',
  { 'parallel-whole': [{ lie: 'wrong-bytes' }] },
  { versions: ['2.4', '2.4'], layerFetchBuffer: 256 * 1024, isRare: true },
);
