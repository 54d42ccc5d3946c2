/**
 * Liars of many faces: what they gain by being several, by being new, and by being good at first.
 */
import { attackTest, THREE } from './attack-tests.ts';

attackTest('trust won first', {
  penitent: [{ lie: 'penitent' }],
  'three-ports': [{ lie: 'cut-half', ...THREE }],
});

attackTest(
  'a new identity every few seconds',
  {
    'new-identities': [{ lie: 'cut-half', identityMs: 4_000 }],
  },
  { isRare: true },
);

attackTest(
  'right up to the middle, wrong from there',
  {
    'wrong-rest': [{ lie: 'wrong-rest', ...THREE }],
  },
  { isRare: true },
);

attackTest(
  'two that agree',
  {
    accomplices: [{ lie: 'wrong-bytes' }, { lie: 'wrong-bytes' }],
    'cut-accomplices': [{ lie: 'cut-half' }, { lie: 'wrong-rest' }],
  },
  { isRare: true },
);

attackTest('it claims to be downloading', {
  'in-flight-cut': [{ lie: 'cut-half', holds: false }],
  'in-flight-whole': [{ lie: 'wrong-bytes', holds: false }],
});

attackTest(
  'several addresses, as many hosts have',
  {
    'three-addresses': [{ lie: 'cut-half', ...THREE, addresses: 3 }],
  },
  { isRare: true },
);
