import type { Content } from './inventory.ts';

/**
 * Libraries inside of Node, by their names in `process.versions`; the rest of that list are ABI
 * numbers.
 */
const NOT_A_LIBRARY = new Set(['node', 'modules', 'napi', 'unicode', 'cldr', 'tz']);

/** A CycloneDX list of what an executable holds. The same contents give the same text. */
export function billOfMaterials(
  version: string,
  goArch: string,
  contents: readonly Content[],
  date: number,
): string {
  const self = `pkg:generic/spegel@${version}?arch=${goArch}`;
  const bom = {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      timestamp: new Date(date * 1000).toISOString(),
      component: {
        type: 'application',
        'bom-ref': self,
        name: 'spegel',
        version,
        purl: self,
        licenses: [{ license: { id: 'MIT' } }],
      },
    },
    components: contents.map(componentOf),
    dependencies: [{ ref: self, dependsOn: contents.map(purlOf) }],
  };
  return `${JSON.stringify(bom, null, 2)}\n`;
}

function componentOf(content: Content) {
  const isNode = content.name.startsWith('node-linux-');
  return {
    type: isNode ? 'platform' : 'library',
    'bom-ref': purlOf(content),
    name: content.name,
    version: content.version,
    purl: purlOf(content),
    licenses: [licenceOf(content.license)],
    hashes: [hashOf(content.integrity)],
    ...(isNode ? { components: insideNode() } : {}),
  };
}

function purlOf({ name, version }: Content): string {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`;
}

/** A single licence has an SPDX id; `(MIT OR Apache-2.0)` is an expression. */
function licenceOf(license: string) {
  return / (?:OR|AND|WITH) /.test(license) ? { expression: license } : { license: { id: license } };
}

function hashOf(integrity: string) {
  const [algorithm = '', digest = ''] = integrity.split('-');
  return {
    alg: algorithm.toUpperCase().replace('SHA', 'SHA-'),
    content: Buffer.from(digest, 'base64').toString('hex'),
  };
}

/**
 * OpenSSL, V8 and the like, as the Node says that runs this: the same version as the one that is
 * packed.
 */
function insideNode() {
  return Object.entries(process.versions)
    .filter(([name]) => !NOT_A_LIBRARY.has(name))
    .map(([name, version]) => ({ type: 'library', name, version }));
}
