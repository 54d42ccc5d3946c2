/**
 * Thrown for a file that our block cannot be put into, or not be removed from. The message says why
 * and what to do.
 */
export class LeftAlone extends Error {
  override readonly name = 'LeftAlone';
}
