/**
 * What `spegel cleanup --addr` answers with 200 while the settings are gone, and nobody else does:
 * what `spegel cleanup-wait` takes for a yes.
 */
export const CLEANED_UP = 'spegel cleanup: the settings are gone\n';

/** Begins what it answers with 503: the settings are there, or nobody can tell. */
export const NOT_CLEANED_UP = 'spegel cleanup: ';
