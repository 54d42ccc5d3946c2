/**
 * Liars among the peers, the upstream healthy: each fails at most one pull of a host, whatever it
 * sends and for as long as it likes. ATTACK_SECONDS says for how long. Attacks that share a fleet
 * are few, so that each gets its pulls.
 */
import { attackTest } from './attack-tests.ts';

attackTest(
  'wrong bytes, and a cut',
  {
    'wrong-bytes': [{ lie: 'wrong-bytes' }],
    'last-byte': [{ lie: 'wrong-last-byte' }],
    'cut-half': [{ lie: 'cut-half' }],
  },
  { manyNamespaces: ['cut-half'] },
);

attackTest(
  'cuts at the edges, and small blobs',
  {
    'cut-one-byte': [{ lie: 'cut-one-byte' }],
    'cut-last-byte': [{ lie: 'cut-last-byte' }],
    manifests: [{ lie: 'manifests' }],
  },
  { isRare: true },
);

attackTest(
  'other lengths, and small ones right',
  {
    'small-is-right': [{ lie: 'small-is-right' }],
    longer: [{ lie: 'longer' }],
    shorter: [{ lie: 'shorter' }],
  },
  { isRare: true },
);

attackTest(
  'a host that pulls many images at once',
  { crowd: [{ lie: 'cut-half' }] },
  { atOnce: 4, isRare: true },
);
