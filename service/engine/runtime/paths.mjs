// What an import may name.
export const PACKAGES = [
  'react', 'react/jsx-runtime', 'react-email', 'tailwindcss/plugin', 'tailwindcss/colors', 'tailwindcss/defaultTheme',
  ...`body button code-block code-inline column components container font head heading hr html img link markdown preview render
    row section tailwind text`.split(/\s+/).map((name) => `@react-email/${name}`),
];
const ENDINGS = ['', '.tsx', '.ts', '.jsx', '.js', '.json', '/index.tsx', '/index.ts', '/index.jsx', '/index.js', '/index.json'];
const IMPORTABLE = /\.(tsx?|jsx?|json)$/;
const WRITTEN_AS = [[/\.js$/, '.ts'], [/\.js$/, '.tsx'], [/\.jsx$/, '.tsx']];

export const isRelative = (specifier) => /^\.{1,2}(\/|$)/.test(specifier);

/** The file that a relative import means, or null. `has` tells which files there are. */
export function resolve(specifier, importer, has) {
  const path = join(specifier, importer);
  return path === null ? null : find(path, has);
}

/** Whether a relative import leads out of the volume. */
export const leaves = (specifier, importer) => join(specifier, importer) === null;

function join(specifier, importer) {
  const parts = importer.split('/').slice(0, -1);
  for (const part of specifier.split('/')) {
    if (part === '..') {
      if (!parts.length) return null;
      parts.pop();
    } else if (part !== '.' && part !== '') parts.push(part);
  }
  return parts.join('/');
}

function find(path, has) {
  const candidates = [...ENDINGS.map((ending) => path + ending), ...WRITTEN_AS.map(([ending, other]) => path.replace(ending, other))];
  return candidates.find((name) => IMPORTABLE.test(name) && has(name)) ?? null;
}

/** What `registry.aliases` lends a template: `paths` of its tsconfig.json, from the top of the volume, `baseUrl` being the `*`. */
export const ALIASES = 'tsconfig.paths.json';

/** Where `aliases` send an import, the likeliest place first; [] for one that is none of them. */
export function aliased(specifier, aliases) {
  const places = [];
  for (const [pattern, targets] of aliases) {
    const [head, tail] = pattern.split('*');
    const matches = tail === undefined ? specifier === pattern : specifier.length >= head.length + tail.length && specifier.startsWith(head) && specifier.endsWith(tail);
    if (!matches) continue;
    const star = specifier.slice(head.length, specifier.length - (tail ?? '').length);
    places.push(...targets.map((target) => target.replace('*', () => star)));
  }
  return places.map((place) => join(place, '')).filter((place) => place !== null);
}

/** The file that an import means by these places, as a relative import of `importer`; null if there is none. */
export function throughAlias(places, importer, has) {
  const file = places.map((place) => find(place, has)).find((found) => found !== null);
  return file === undefined ? null : { file, specifier: `./${'../'.repeat(importer.split('/').length - 1)}${file}` };
}
