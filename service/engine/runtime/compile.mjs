// TSX to JavaScript, file by file, and the check of what is imported.
import { transform } from 'sucrase';
import { parse } from 'sucrase/dist/esm/parser/index.js';
import State from 'sucrase/dist/esm/parser/tokenizer/state.js';
import { input, state } from 'sucrase/dist/esm/parser/traverser/base.js';
import { TokenType } from 'sucrase/dist/esm/parser/tokenizer/types.js';
import { ContextualKeyword } from 'sucrase/dist/esm/parser/tokenizer/keywords.js';
import { Fault } from './faults.mjs';
import { mapped } from './maps.mjs';
import { withoutNamespaces } from './namespaces.mjs';
import { ALIASES, PACKAGES, aliased, isRelative, leaves, resolve, throughAlias } from './paths.mjs';

const UNCLOSED = 'Unterminated JSX contents';
const IS_GENERIC = /^<\s*(?:const\s+)?[\w$]+\s*(?:,|=|extends\b)/;
const IS_TYPESCRIPT = /\.[cm]?tsx?$/;
const KINDS = '(.tsx, .ts, .jsx, .js or .json)';
const IS_PICTURE = /\.(png|jpe?g|gif|svg|webp|avif|ico)$/i;
const IS_OTHER = /\.(css|scss|sass|less|woff2?|ttf|md|mdx|html|txt|ya?ml|vue)$/i;
const IS_JSX = /\.(tsx|jsx|js)$/;

/** JavaScript by file, of all files that the entry imports. Throws Fault. */
export function compile(entry, files) {
  const codes = {};
  const has = (name) => Object.hasOwn(files, name);
  const aliases = has(ALIASES) ? Object.entries(JSON.parse(files[ALIASES])) : [];
  const queue = [entry];
  for (const file of queue) {
    if (Object.hasOwn(codes, file)) continue;
    const source = files[file];
    codes[file] = file.endsWith('.json') ? json(file, source) : script(file, source);
    if (file.endsWith('.json')) continue;
    for (const { specifier, line, column } of imports(file, source, codes[file])) {
      if (PACKAGES.includes(specifier)) continue;
      const fail = (message) => new Fault(message, file, line, column);
      if (!isRelative(specifier)) {
        const meant = named(specifier, file, aliases, has, fail);
        codes[file] = codes[file].replaceAll(`require('${specifier}')`, () => `require('${meant.specifier}')`);
        queue.push(meant.file);
        continue;
      }
      if (leaves(specifier, file)) throw fail(`'${specifier}' lies outside of the source volume`);
      const found = resolve(specifier, file, has);
      if (found === null) throw fail(missing(specifier));
      queue.push(found);
    }
  }
  return codes;
}

function missing(specifier) {
  if (IS_PICTURE.test(specifier)) return `'${specifier}' cannot be imported, only ${KINDS.slice(1, -1)} can: name a picture by its address, src="https://…"`;
  if (IS_OTHER.test(specifier)) return `'${specifier}' cannot be imported, only ${KINDS.slice(1, -1)} can`;
  return `there is no file '${specifier}' to import ${KINDS}`;
}

/** What an import means that is neither relative nor a package. Throws Fault. */
function named(specifier, file, aliases, has, fail) {
  const places = aliased(specifier, aliases);
  const meant = throughAlias(places, file, has);
  if (meant) return meant;
  if (!places.length || aliased(specifier, aliases.filter(([pattern]) => pattern === '*')).length === places.length) throw fail(notAllowed(specifier));
  throw fail(`there is no file '${specifier}' to import ${KINDS}: tsconfig.json has it at ${places.join(' or ')}`);
}

function notAllowed(specifier) {
  return `import of '${specifier}' is not allowed; a template may import react, react-email, @react-email/*, tailwindcss/plugin and relative files`;
}

function json(file, source) {
  try {
    JSON.parse(source);
  } catch (error) {
    const { line, column } = place(source, Number(/ position (\d+)/.exec(error.message)?.[1] ?? source.length));
    throw new Fault(`not valid JSON: ${error.message.replace(/ in JSON at position .*/s, '')}`, file, line, column);
  }
  return `module.exports = JSON.parse(${JSON.stringify(source)})`;
}

/** The tags that are open after these tokens. Throws Fault for one that is closed by another name, which sucrase lets pass. */
function openTags(source, tokens, file = '') {
  const open = [];
  let closing = false;
  tokens.forEach((token, at) => {
    if (token.type === TokenType.jsxTagStart) {
      const name = /^<\s*\/?\s*([\w$.:-]*)/.exec(source.slice(token.start, token.start + 200))?.[1] ?? '';
      closing = tokens[at + 1]?.type === TokenType.slash;
      if (!closing) open.push({ name, start: token.start });
      else if (tokens[at - 1].type === TokenType.braceL) throw faultAt(token.start + 1, "unexpected '/'", file, source);
      else if (open.at(-1)?.name !== name) throw faultAt(token.start, `</${name}> closes <${open.at(-1)?.name ?? ''}>`, file, source);
    } else if (token.type === TokenType.jsxTagEnd) {
      if (closing || tokens[at - 1].type === TokenType.slash) open.pop();
      closing = false;
    }
  });
  return open;
}

function script(file, source) {
  const transforms = ['imports'];
  if (IS_TYPESCRIPT.test(file)) transforms.push('typescript');
  if (IS_JSX.test(file)) transforms.push('jsx');
  [furthest, unclosed] = [null, null];
  try {
    const fail = (offset, message) => faultAt(offset, message, file, source);
    const plain = IS_TYPESCRIPT.test(file) ? withoutNamespaces(source, IS_JSX.test(file), fail) : source;
    const { code, sourceMap } = transform(plain, {
      transforms, jsxRuntime: 'automatic', production: true, disableESTransforms: true, filePath: file, sourceMapOptions: { compiledFilename: file },
    });
    return mapped(code, sourceMap.mappings);
  } catch (error) {
    if (error instanceof Fault) throw error;
    note(said(error), state.tokens);
    throw openFault(file, source) ?? syntaxFault(file, source);
  }
}

/** Of the attempts that this parse made at one place, the one that came furthest knows best what is wrong. */
let furthest = null;
/** The tokens of the first attempt that came to the end of the file inside of a tag. */
let unclosed = null;
const restore = State.prototype.restoreFromSnapshot;
State.prototype.restoreFromSnapshot = function (snapshot) {
  if (this.error) {
    note(said(this.error), this.tokens);
    // After a tag that fails sucrase tries type parameters; of what cannot be any, that would only tell another, wrong fault.
    if (this.tokens[snapshot.tokensLength]?.type === TokenType.jsxTagStart && !IS_GENERIC.test(input.slice(snapshot.start, snapshot.start + 200))) return;
  }
  restore.call(this, snapshot);
};

function note({ message, pos }, tokens) {
  if (message === UNCLOSED) unclosed ??= [...tokens];
  if (furthest === null || pos > furthest.pos) furthest = { message, pos };
}

/** An error of sucrase's without what it says of the place. */
function said({ message, pos }) {
  return { message: message.replace(/^Error transforming [^:]*: /, '').replace(/ \(\d+:\d+\)$/, ''), pos };
}

function openFault(file, source) {
  const open = unclosed && openTags(source, unclosed, file).at(-1);
  return open ? faultAt(open.start, `<${open.name}> is not closed`, file, source) : null;
}

function syntaxFault(file, source) {
  const { message, pos } = furthest;
  if (source.startsWith('</', pos - 2)) return faultAt(pos - 2, 'no tag is open here: elements beside each other need one around them, <>…</>', file, source);
  return faultAt(pos, message.replace(/^Unexpected token/, () => `unexpected ${word(source, pos)}`), file, source);
}

function faultAt(offset, message, file, source) {
  const { line, column } = place(source, offset);
  return new Fault(`syntax error: ${message}`, file, line, column);
}

function word(source, offset) {
  const rest = /^[^\n]*/.exec(source.slice(offset))[0].trim();
  return rest ? `'${/^(\w+|.)/u.exec(rest)[0]}'` : 'end of line';
}

/** The imports that are left in the code, with their places in the source. */
function imports(file, source, code) {
  const { tokens } = parse(source, IS_JSX.test(file), IS_TYPESCRIPT.test(file), false);
  openTags(source, tokens, file);
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
  return { line: before.length, column: [...before.at(-1)].length + 1 };
}
