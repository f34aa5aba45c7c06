// The same templates by react-email's own render() on Node: `node peer.mjs ENGINE_FOLDER CORPUS_FOLDER WORK_FOLDER`, JSON on stdout.
import { readdirSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [engine, corpus, work] = process.argv.slice(2);
const require = createRequire(path.join(engine, 'package.json'));
const { build } = require('esbuild');
symlinkSync(path.join(engine, 'node_modules'), path.join(work, 'node_modules'));
const load = (name) => import(pathToFileURL(require.resolve(name)));

const files = readdirSync(corpus).filter((name) => name.endsWith('.tsx'));
await build({
  entryPoints: files.map((name) => path.join(corpus, name)), outdir: work, outExtension: { '.js': '.mjs' },
  bundle: true, format: 'esm', platform: 'node', packages: 'external', jsx: 'automatic', logLevel: 'error',
  tsconfigRaw: '{"compilerOptions": {"jsx": "react-jsx"}}',
  plugins: [{ name: 'packages', setup: (b) => b.onResolve({ filter: /^@react-email\// }, () => ({ path: 'react-email', external: true })) }],
});

const reactEmail = await import(pathToFileURL(path.join(work, 'node_modules/react-email/dist/index.mjs')));
const { createElement } = (await load('react')).default;
const tooLate = () => new Promise((_, reject) => setTimeout(reject, 5000, new Error('does not end')).unref());
const rendered = {};
for (const file of files) {
  try {
    const module = await import(pathToFileURL(path.join(work, file.replace('.tsx', '.mjs'))));
    const props = module.default.PreviewProps ?? {};
    const subject = typeof module.subject === 'function' ? module.subject(props) : module.subject ?? '';
    rendered[file] = { subject, html: await Promise.race([reactEmail.render(createElement(module.default, props)), tooLate()]) };
  } catch (error) {
    rendered[file] = { error: String(error) };
  }
}
process.stdout.write(JSON.stringify(rendered));
