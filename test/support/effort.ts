/**
 * How thorough the tests are that try many inputs, or many points at which to break off: 1 in
 * `make test`, a part of it in `make check`, more with `TEST_EFFORT=10`.
 */
export const EFFORT = Number(process.env.TEST_EFFORT ?? 1);
