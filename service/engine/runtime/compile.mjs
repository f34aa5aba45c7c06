// TSX to JavaScript, file by file, and the check of what is imported.
import { transform } from 'sucrase';
import { parse } from 'sucrase/dist/esm/parser/index.js';
import { TokenType } from 'sucrase/dist/esm/parser/tokenizer/types.js';
import { ContextualKeyword } from 'sucrase/dist/esm/parser/tokenizer/keywords.js';
import { Fault } from './faults.mjs';
import { PACKAGES, isRelative, resolve } from './paths.mjs';

const IS_TYPESCRIPT = /\.[cm]?tsx?$/;
const IS_JSX = /\.(tsx|jsx|js)$/;

/** JavaScript by file, of all files that the entry imports. Throws Fault. */
export function compile(entry, files) {
  const codes = {};
  const has = (name) => Object.hasOwn(files, name);
  const queue = [entry];
  for (const file of queue) {
    if (Object.hasOwn(codes, file)) continue;
    const source = files[file];
    codes[file] = file.endsWith('.json') ? json(file, source) : script(file, source);
    if (file.endsWith('.json')) continue;
    for (const { specifier, line, column } of imports(file, source, codes[file])) {
      if (!isRelative(specifier)) {
        if (!PACKAGES.includes(specifier)) throw new Fault(notAllowed(specifier), file, line, column);
        continue;
      }
      const found = resolve(specifier, file, has);
      if (found === null) throw new Fault(`there is no file '${specifier}' to import (.tsx, .ts, .jsx, .js or .json)`, file, line, column);
      queue.push(found);
    }
  }
  return codes;
}

function notAllowed(specifier) {
  return `import of '${specifier}' is not allowed; a template may import react, react-email, @react-email/*, tailwindcss/plugin and relative files`;
}

function json(file, source) {
  try {
    JSON.parse(source);
  } catch (error) {
    throw new Fault(`not valid JSON: ${error.message}`, file, 0, 0);
  }
  return `module.exports = JSON.parse(${JSON.stringify(source)})`;
}

/** Faults for tags that are closed by another name, which sucrase lets pass. */
function checkTags(file, source, tokens) {
  const open = [];
  let closing = false;
  tokens.forEach((token, at) => {
    if (token.type === TokenType.jsxTagStart) {
      const name = /^<\s*\/?\s*([\w$.:-]*)/.exec(source.slice(token.start, token.start + 200))?.[1] ?? '';
      closing = tokens[at + 1]?.type === TokenType.slash;
      if (!closing) open.push(name);
      else if (open.at(-1) !== name) {
        const { line, column } = place(source, token.start);
        throw new Fault(`syntax error: </${name}> closes <${open.at(-1) ?? ''}>`, file, line, column);
      }
    } else if (token.type === TokenType.jsxTagEnd) {
      if (closing || tokens[at - 1].type === TokenType.slash) open.pop();
      closing = false;
    }
  });
}

function script(file, source) {
  const transforms = ['imports'];
  if (IS_TYPESCRIPT.test(file)) transforms.push('typescript');
  if (IS_JSX.test(file)) transforms.push('jsx');
  try {
    return transform(source, { transforms, jsxRuntime: 'automatic', production: true, disableESTransforms: true, filePath: file }).code;
  } catch (error) {
    throw syntaxFault(inner(error, source, transforms), file, source);
  }
}

/** sucrase says of a fault in the body of an arrow function that its arrow is unexpected: look behind the arrow. */
function inner(error, source, transforms) {
  let found = error;
  for (let offset = arrow(found, source); offset > 0; offset = arrow(found, source)) {
    try {
      transform(source.slice(0, offset).replace(/[^\n]/g, ' ') + source.slice(offset), { transforms });
      return found;
    } catch (deeper) {
      if (deeper.pos <= found.pos) return found;
      found = deeper;
    }
  }
  return found;
}

const arrow = (error, source) => (source.startsWith('=>', error.pos) ? error.pos + 2 : 0);

function syntaxFault(error, file, source) {
  const found = /^(?:Error transforming [^:]*: )?(?<text>.*?)(?: \((?<line>\d+):(?<column>\d+)\))?$/s.exec(error.message)?.groups ?? { text: error.message };
  const [line, column] = [Number(found.line ?? 0), Number(found.column ?? 0)];
  const text = found.text.startsWith('Unexpected token') ? `syntax error: unexpected ${word(source, line, column)}` : `syntax error: ${found.text}`;
  return new Fault(text, file, line, column);
}

function word(source, line, column) {
  const rest = (source.split('\n')[line - 1] ?? '').slice(column - 1).trim();
  return rest ? `'${/^(\w+|.)/u.exec(rest)[0]}'` : 'end of line';
}

/** The imports that are left in the code, with their places in the source. */
function imports(file, source, code) {
  const { tokens } = parse(source, IS_JSX.test(file), IS_TYPESCRIPT.test(file), false);
  checkTags(file, source, tokens);
  const found = [];
  for (let at = 1; at < tokens.length; at++) {
    if (tokens[at].type !== TokenType.string || !isImport(tokens, at, source)) continue;
    const specifier = source.slice(tokens[at].start + 1, tokens[at].end - 1);
    if (code.includes(`require('${specifier}')`) || code.includes(`require("${specifier}")`)) found.push({ specifier, ...place(source, tokens[at].start) });
  }
  for (const [, specifier] of code.matchAll(/\brequire\('(react\/[\w-]+)'\)/g)) found.push({ specifier, line: 0, column: 0 });
  return found;
}

function isImport(tokens, at, source) {
  const before = tokens[at - 1];
  if (before.type === TokenType._import || before.contextualKeyword === ContextualKeyword._from) return true;
  if (before.type !== TokenType.parenL || at < 2) return false;
  const caller = tokens[at - 2];
  return caller.type === TokenType._import || (caller.type === TokenType.name && source.slice(caller.start, caller.end) === 'require');
}

function place(source, offset) {
  const before = source.slice(0, offset).split('\n');
  return { line: before.length, column: before.at(-1).length + 1 };
}
