// The templates as modules that Node and Bun can import: `node bundle.mjs ENGINE_FOLDER WORK_FOLDER TEMPLATE…`.
import { symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const [engine, work, ...templates] = process.argv.slice(2);
const { build } = createRequire(path.join(engine, 'package.json'))('esbuild');
symlinkSync(path.join(engine, 'node_modules'), path.join(work, 'node_modules'));
await build({
  entryPoints: templates, outdir: work, outExtension: { '.js': '.mjs' }, define: { 'process.env.NODE_ENV': '"production"' },
  bundle: true, format: 'esm', platform: 'node', packages: 'external', jsx: 'automatic', logLevel: 'error',
  plugins: [{ name: 'packages', setup: (b) => b.onResolve({ filter: /^@react-email\// }, () => ({ path: 'react-email', external: true })) }],
});
