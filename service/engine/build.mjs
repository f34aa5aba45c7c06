// Bundles the runtime into one classic script: `node build.mjs FILE`.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const here = path.dirname(fileURLToPath(import.meta.url));
const at = (file) => path.join(here, file);
const common = {
  bundle: true, write: false, minify: true, platform: 'neutral', target: 'es2023', legalComments: 'none',
  mainFields: ['module', 'main'], conditions: ['import', 'module', 'browser'],
  define: { 'process.env.NODE_ENV': '"production"' },
};

// Fizz without its streams: the internals behind renderToStaticMarkup, for a renderer that can wait.
const INTERNALS = 'createRequest, createResumableState, createRenderState, createFormatContext, performWork, startFlowing';
// What it lends to every component, one for all.
const SHARED = 'emptyContextObject, classComponentUpdater, SuspenseException, unsupportedStartTransition, unsupportedSetOptimisticState, throwOnUseEffectEventCall';
const STANDINS = {
  'css-tree/dist/csstree.esm': at('runtime/csstree.mjs'),
  '@react-email/render': at('runtime/render.mjs'),
};

const parts = {
  name: 'parts',
  setup(build) {
    const server = at('node_modules/react-dom/cjs/react-dom-server-legacy.browser.production.js');
    build.onResolve({ filter: /^fizz$/ }, () => ({ path: server }));
    build.onLoad({ filter: /react-dom-server-legacy\.browser\.production\.js$/ }, ({ path: file }) => ({
      contents: `${fizz(readFileSync(file, 'utf8'))}\nexports.internals = { ${INTERNALS} };\nexports.shared = [${SHARED}];`,
    }));
    build.onResolve({ filter: /^(css-tree\/dist\/csstree\.esm|@react-email\/render)$/ }, ({ path: name }) => ({ path: STANDINS[name] }));
    build.onLoad({ filter: /sucrase\/dist\/esm\/transformers\/JSXTransformer\.js$/ }, ({ path: file }) => ({
      // Lines within an attribute stay lines, as they do for esbuild, which react-email compiles with.
      contents: replaceOnce(readFileSync(file, 'utf8'), 'if (/\\s/.test(text[i + 1])) {', 'if (false) {'),
    }));
    build.onLoad({ filter: /sucrase\/dist\/esm\/computeSourceMap\.js$/ }, ({ path: file }) => ({
      // Of tokens that come to be at one place, since what is before the last is left out, the last is what is there.
      // And a token without length, as at the end of `${x}`, begins where the next one does: without this no later one has a column.
      contents: replaceOnce(
        replaceOnce(
          readFileSync(file, 'utf8'),
          /sourceColumns\[tokenIndex\] = currentMapping - lineStart;\s+tokenIndex\+\+;\s+currentMapping = tokens\[tokenIndex\]\.start;/,
          'while (tokens[tokenIndex]?.start === i) sourceColumns[tokenIndex++] = i - lineStart; currentMapping = tokens[tokenIndex]?.start;',
        ),
        'const sourceColumn = sourceColumns[tokenIndex];',
        'let last = tokenIndex; for (let at = last; at < rawMappings.length && (rawMappings[at] === i || rawMappings[at] === undefined); at++) if (rawMappings[at] === i) last = at; const sourceColumn = sourceColumns[last];',
      ),
    }));
    build.onResolve({ filter: /^react-email:/ }, ({ path: name }) => ({
      path: at(`node_modules/react-email/dist/components/${name.slice('react-email:'.length)}.mjs`),
    }));
    build.onResolve({ filter: /^bundled:code-block$/ }, () => ({ path: 'code-block', namespace: 'bundled' }));
    build.onLoad({ filter: /.*/, namespace: 'bundled' }, async () => ({ contents: await codeBlock(), loader: 'text' }));
  },
};

/** Fizz as it is here: for stacks of components it would change Error, which is frozen, and every style costs it much. */
function fizz(source) {
  const [own] = source.match(/^function pushStyleAttribute\(target, style\) \{[^]*?^\}$/m);
  const formats = source.replaceAll('Error.prepareStackTrace', 'formats.prepareStackTrace');
  return `const formats = {};\n${replaceOnce(formats, own, readFileSync(at('runtime/style-attribute.js'), 'utf8'))}`;
}

function replaceOnce(text, old, other) {
  if (text.split(old).length !== 2) throw new Error(`not there once: ${old}`);
  return text.replace(old, () => other);
}

/** Prism is half of everything and seldom wanted: its source is kept as text, and evaluated when a template names it. */
async function codeBlock() {
  const built = await esbuild.build({
    ...common, entryPoints: [at('runtime/code-block.mjs')], format: 'cjs', external: ['react', 'react/jsx-runtime'], plugins: [parts],
  });
  return built.outputFiles[0].text;
}

const [outfile] = process.argv.slice(2);
await esbuild.build({
  ...common, write: true, entryPoints: [at('runtime/engine.mjs')], format: 'iife', plugins: [parts], outfile, loader: { '.tsx': 'text' },
});
