/** Error codes of OCI distribution-spec, "Error codes". */
export type OciErrorCode =
  | 'BLOB_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'DENIED'
  | 'UNSUPPORTED';

/**
 * The JSON body of an error answer. `detail` tells what was tried: containerd prints the error of
 * the first host that it asks.
 */
export function ociErrorBody(code: OciErrorCode, message: string, detail?: unknown): string {
  return JSON.stringify({
    errors: [{ code, message, ...(detail === undefined ? {} : { detail }) }],
  });
}
