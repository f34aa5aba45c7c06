// The plain text of documents as the engine makes it: `node text.mjs TEXT_MJS`, JSON on stdin and stdout.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const { plain } = await import(pathToFileURL(process.argv[2]));
process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(plain)));
