// The compiled revisions: each has modules of its own.
import * as React from 'react';
import * as Jsx from 'react/jsx-runtime';
import tailwindColors from 'tailwindcss/colors';
import tailwindTheme from 'tailwindcss/defaultTheme';
import tailwindPlugin from 'tailwindcss/plugin';
import { components, loadCodeBlock } from './components.mjs';
import { Fault, refusedAt, telling } from './faults.mjs';
import { shared } from './fizz.mjs';
import { PACKAGES, isRelative, resolve } from './paths.mjs';

const MOST_REVISIONS = 128;
export const PREFIX = '(function (require, module, exports, process) {';

const react = Object.fromEntries(Object.entries(React).filter(([name]) => name !== 'default' && !name.startsWith('__')));
const jsxRuntime = { Fragment: Jsx.Fragment, jsx: telling(Jsx.jsx), jsxs: telling(Jsx.jsxs) };

function plugin(handler, config) {
  return tailwindPlugin(handler, config);
}
Object.assign(plugin, { withOptions: tailwindPlugin.withOptions, default: plugin, __esModule: true });

const modules = new Map(PACKAGES.map((name) => [name, components]));
modules.set('react', react).set('react/jsx-runtime', jsxRuntime).set('tailwindcss/plugin', plugin);
modules.set('tailwindcss/colors', { default: tailwindColors, __esModule: true });
modules.set('tailwindcss/defaultTheme', { default: tailwindTheme, __esModule: true });

const component = new React.Component({});
/** What templates can reach, to be frozen: what they import, and what they are lent or thrown. */
export const reachable = [...new Set(modules.values()), { Fault, lent: [...shared, component.refs, component.updater, React.lazy(null)._init] }];

let process = null;

/** Set what templates see of the environment. */
export function provide(environment) {
  process = Object.freeze({ env: Object.freeze({ ...environment, NODE_ENV: 'production' }) });
}

class Revision {
  constructor(entry, codes) {
    this.entry = entry;
    this.files = new Map(Object.entries(codes));
    this.loaded = new Map();
    this.exports = null;
  }

  /** The entry's exports, of ES modules and of CommonJS alike. Runs the modules the first time. */
  main() {
    if (this.exports === null) {
      if ([...this.files.values()].some((code) => code.includes('CodeBlock'))) loadCodeBlock();
      const main = this.load(this.entry);
      this.exports = typeof main === 'function' ? { default: main } : main;
    }
    return this.exports;
  }

  load(file) {
    const known = this.loaded.get(file);
    if (known) return known.exports;
    const module = { exports: {} };
    this.loaded.set(file, module);
    try {
      const run = evaluated(file, this.files.get(file));
      run((specifier) => this.require(specifier, file), module, module.exports, process);
    } catch (error) {
      this.loaded.delete(file);
      throw error;
    }
    return module.exports;
  }

  require(specifier, importer) {
    if (modules.has(specifier)) return modules.get(specifier);
    const file = isRelative(specifier) ? resolve(specifier, importer, (name) => this.files.has(name)) : null;
    if (file === null) throw new Fault(`import of '${specifier}' is not allowed`, importer);
    return this.load(file);
  }

  /** The component that is the mail: the default export, or the only component among the named ones. */
  component() {
    const exported = this.main();
    if (isComponent(exported.default)) return exported.default;
    const named = Object.keys(exported).filter((name) => /^[A-Z]/.test(name) && isComponent(exported[name]));
    if (named.length === 1) return exported[named[0]];
    throw new Fault('exports no component: write `export default function Name(props) { … }`', this.entry, 1, 1);
  }
}

/** The function that is a file's module. */
function evaluated(file, code) {
  const parse = (part) => (0, eval)(`${PREFIX}${part}\n})\n//# sourceURL=${file}`);
  try {
    return parse(code);
  } catch (error) {
    const { line, column } = refusedAt(code, error, parse);
    throw new Fault(`syntax error: ${error.message}`, file, line, column);
  }
}

const isComponent = (value) => typeof value === 'function' || (typeof value === 'object' && value !== null && '$$typeof' in value && !('props' in value));

/** By digest; the one that was used longest ago first. */
const revisions = new Map();

export function add(digest, entry, codes) {
  revisions.delete(digest);
  if (revisions.size >= MOST_REVISIONS) revisions.delete(revisions.keys().next().value);
  const revision = new Revision(entry, codes);
  revisions.set(digest, revision);
  return revision;
}

export function get(digest) {
  const revision = revisions.get(digest);
  if (revision) {
    revisions.delete(digest);
    revisions.set(digest, revision);
  }
  return revision;
}

export const remove = (digest) => revisions.delete(digest);
