// TypeScript's namespaces that hold values, which sucrase leaves out: rewritten as functions, line for line.
import { parse } from 'sucrase/dist/esm/parser/index.js';
import { TokenType } from 'sucrase/dist/esm/parser/tokenizer/types.js';

const IS_TYPE = new Set(['interface', 'type', 'declare']);
const BEFORE_NAME = new Set(['async', 'abstract', 'const', 'let', 'var', 'function', 'class', 'enum', 'namespace', 'module', '*']);
const OPENING = new Set([TokenType.braceL, TokenType.dollarBraceL, TokenType.parenL, TokenType.bracketL]);
const CLOSING = new Set([TokenType.braceR, TokenType.parenR, TokenType.bracketR]);
const DECLARES = new Set(['const', 'let', 'var', 'function', 'class', 'enum', 'namespace', 'module', 'async', 'abstract']);

/** The source without them. `fail(offset, message)` makes what is thrown for what is not supported. */
export function withoutNamespaces(source, isJsx, fail) {
  if (!/\b(?:namespace|module)\s+[\w$]+/.test(source)) return source;
  const { tokens } = parse(source, isJsx, true, false);
  return new Rewriting(source, tokens, fail).done();
}

class Rewriting {
  constructor(source, tokens, fail) {
    Object.assign(this, { source, tokens, fail, edits: [], declared: new Set() });
  }

  done() {
    this.body(0, this.tokens.length, null);
    let [text, at] = ['', 0];
    for (const { start, end, replacement } of this.edits.sort((a, b) => a.start - b.start)) {
      text += this.source.slice(at, start) + replacement;
      at = end;
    }
    return text + this.source.slice(at);
  }

  word(at) {
    const token = this.tokens[at];
    return token ? this.source.slice(token.start, token.end) : '';
  }

  edit(token, replacement) {
    this.edits.push({ start: token.start, end: token.end, replacement });
  }

  /** Takes the statements from one token to another; returns the names of the values that they export. */
  body(from, to, owner) {
    const exported = [];
    for (let at = from, depth = 0; at < to; at++) {
      const { type } = this.tokens[at];
      if (type === TokenType.braceL || type === TokenType.dollarBraceL) depth++;
      else if (type === TokenType.braceR) depth--;
      if (depth !== 0 || type === TokenType.braceR) continue;
      const isExported = this.word(at) === 'export';
      if (isExported && owner) this.export(at, to, exported);
      const first = isExported ? at + 1 : at;
      if (this.isNamespace(first, at)) at = this.namespace(first, isExported && !owner);
      else if (/^(?:class|function|enum)$/.test(this.word(at))) this.declared.add(this.word(this.word(at + 1) === '*' ? at + 2 : at + 1));
    }
    return exported;
  }

  isNamespace(at, begin) {
    if (!['namespace', 'module'].includes(this.word(at)) || this.tokens[at + 1]?.type !== TokenType.name) return false;
    const before = this.word(begin - 1);
    return before !== 'declare' && before !== '.' && [TokenType.braceL, TokenType.dot].includes(this.tokens[at + 2]?.type);
  }

  /** Rewrites one that begins at this token, if it has values; returns its last token. */
  namespace(at, isExported) {
    if (this.tokens[at + 2].type === TokenType.dot) throw this.fail(this.tokens[at].start, 'a namespace with dots in its name is not supported: write one inside of the other');
    const name = this.word(at + 1);
    const end = this.end(at + 2);
    const held = this.edits.length;
    const exported = this.body(at + 3, end, name);
    if (!exported.length) {
      this.edits.length = held;
      return end;
    }
    const binding = this.declared.has(name) ? '' : `var ${name}; `;
    this.declared.add(name);
    if (isExported && !binding) throw this.fail(this.tokens[at].start, `'${name}' is exported twice: a namespace beside something else of its name is not supported`);
    this.edit(this.tokens[at], `${binding}(function`);
    this.edit(this.tokens[at + 1], `(${name})`);
    this.edit(this.tokens[end], `${exported.map((each) => `Object.defineProperty(${name}, '${each}', { enumerable: true, configurable: true, get: () => ${each} });`).join(' ')} })(${name} || (${name} = {}));`);
    return end;
  }

  end(opening) {
    for (let at = opening, depth = 0; at < this.tokens.length; at++) {
      const { type } = this.tokens[at];
      if (type === TokenType.braceL || type === TokenType.dollarBraceL) depth++;
      else if (type === TokenType.braceR && --depth === 0) return at;
    }
    return this.tokens.length - 1;
  }

  /** Takes `export` from a declaration in a namespace, and notes what it declares if that is a value. */
  export(at, to, exported) {
    const token = this.tokens[at];
    let next = at + 1;
    const kind = this.word(next);
    this.edit(token, ' '.repeat(6));
    if (IS_TYPE.has(kind)) return;
    if (!DECLARES.has(kind)) throw this.fail(token.start, 'this kind of export is not supported in a namespace');
    while (BEFORE_NAME.has(this.word(next))) next++;
    if (this.tokens[next].type !== TokenType.name) throw this.fail(this.tokens[next].start, 'in a namespace, export names and no patterns');
    if (!['namespace', 'module'].includes(kind) || this.hasValues(next + 1)) exported.push(this.word(next));
    if (['const', 'let', 'var'].includes(kind)) this.others(next, to, exported);
  }

  /** Whether a namespace has a value among what it exports. */
  hasValues(opening) {
    const end = this.end(opening);
    for (let at = opening; at < end; at++) if (this.word(at) === 'export' && !IS_TYPE.has(this.word(at + 1))) return true;
    return false;
  }

  /** Notes the names after the first in one `export const`. */
  others(from, to, exported) {
    for (let at = from, depth = 0; at < to && depth >= 0; at++) {
      const { type } = this.tokens[at];
      if (type === TokenType.semi || this.word(at) === 'export') return;
      if (OPENING.has(type)) depth++;
      else if (CLOSING.has(type)) depth--;
      else if (depth === 0 && type === TokenType.comma && [TokenType.eq, TokenType.colon].includes(this.tokens[at + 2]?.type)) exported.push(this.word(at + 1));
    }
  }
}
