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
  const parts = importer.split('/').slice(0, -1);
  for (const part of specifier.split('/')) {
    if (part === '..') {
      if (!parts.length) return null;
      parts.pop();
    } else if (part !== '.' && part !== '') parts.push(part);
  }
  const path = parts.join('/');
  const candidates = [...ENDINGS.map((ending) => path + ending), ...WRITTEN_AS.map(([ending, other]) => path.replace(ending, other))];
  return candidates.find((name) => IMPORTABLE.test(name) && has(name)) ?? null;
}
