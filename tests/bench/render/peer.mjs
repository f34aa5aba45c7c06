// The rate of react-email's own render() in this process, Node or Bun: `peer.mjs ENGINE_FOLDER WORK_FOLDER TEMPLATE PROPS MAKES`,
// where MAKES is `html`, or `mail` for the plain text too.
// Each line on stdin is how many seconds to render for; each answer on stdout the renders per second.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [engine, work, template, propsFile, makes] = process.argv.slice(2);
const require = createRequire(path.join(engine, 'package.json'));
const bundled = path.join(work, path.basename(template).replace('.tsx', '.mjs'));
const { createElement } = (await import(pathToFileURL(require.resolve('react')))).default;
const { render, toPlainText } = await import(pathToFileURL(path.join(work, 'node_modules/react-email/dist/index.mjs')));
const Template = (await import(pathToFileURL(bundled))).default;
const props = JSON.parse(readFileSync(propsFile, 'utf8'));

for await (const line of createInterface({ input: process.stdin })) {
  const begun = performance.now();
  const end = begun + Number(line) * 1000;
  let count = 0;
  for (; performance.now() < end; count++) {
    const html = await render(createElement(Template, props));
    if (makes === 'mail') toPlainText(html);
  }
  console.log((count * 1000) / (performance.now() - begun));
}
process.exit(0);
