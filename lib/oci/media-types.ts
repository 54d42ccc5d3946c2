/** Media types of OCI image-spec (media-types.md) and of Docker's image manifest v2, schema 2. */
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
export const OCTET_STREAM = 'application/octet-stream';

/** RFC 6838, 4.2. */
const MEDIA_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/i;

/**
 * The media type of a blob for a header. An image can have any text as media type. A line end in it
 * would add headers to the answer.
 */
export function contentTypeOf(mediaType: string | undefined): string {
  return mediaType !== undefined && MEDIA_TYPE.test(mediaType) ? mediaType : OCTET_STREAM;
}

const INDEXES: readonly string[] = [OCI_INDEX, DOCKER_LIST];
const MANIFESTS: readonly string[] = [OCI_MANIFEST, DOCKER_MANIFEST];

/** The `Accept` header of a request for any kind of manifest. */
export const MANIFEST_ACCEPT = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(', ');

export function isIndexType(mediaType: string | undefined): boolean {
  return mediaType !== undefined && INDEXES.includes(mediaType);
}

/** True for an image manifest or an index: it has children, and `/manifests/` serves it. */
export function isManifestType(mediaType: string | undefined): boolean {
  return mediaType !== undefined && (MANIFESTS.includes(mediaType) || isIndexType(mediaType));
}
