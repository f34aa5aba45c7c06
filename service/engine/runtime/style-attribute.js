// In place of Fizz's own, in whose file it stands: the same attribute, of declarations that are remembered.
const MOST_DECLARATIONS = 4000;
const LONGEST_NAME = 50;
const LONGEST_VALUE = 200;
const declarations = new Map();
var declared = 0;

function pushStyleAttribute(target, style) {
  if (typeof style !== 'object') throw Error(formatProdErrorMessage(62));
  let text = '';
  for (const name in style) {
    if (!hasOwnProperty.call(style, name)) continue;
    const value = style[name];
    if (value == null || typeof value === 'boolean' || value === '') continue;
    text += text === '' ? remembered(name, value) : ';' + remembered(name, value);
  }
  if (text !== '') target.push(' style="' + text + '"');
}

function remembered(name, value) {
  if (name.length > LONGEST_NAME) return declaration(name, value);
  if (typeof value === 'string' ? value.length > LONGEST_VALUE : typeof value !== 'number') return declaration(name, value);
  let values = declarations.get(name);
  let text = values?.get(value);
  if (text === undefined) {
    if (++declared > MOST_DECLARATIONS) [declared, values] = [1, declarations.clear()];
    if (values === undefined) declarations.set(name, (values = new Map()));
    // Copies: a slice would keep all that it was cut from, and what is joined from parts is put together at every use.
    values.set(typeof value === 'string' ? copied(value) : value, (text = copied(declaration(name, value))));
  }
  return text;
}

const copied = (text) => (' ' + text).slice(1);

function declaration(name, value) {
  if (name.startsWith('--')) return escapeTextForBrowser(name) + ':' + escapeTextForBrowser(('' + value).trim());
  let written = styleNameCache.get(name);
  if (written === undefined) {
    written = escapeTextForBrowser(name.replace(uppercasePattern, '-$1').toLowerCase().replace(msPattern, '-ms-'));
    if (name.length <= LONGEST_NAME && styleNameCache.size < MOST_DECLARATIONS) styleNameCache.set(name, written);
  }
  if (typeof value !== 'number') return written + ':' + escapeTextForBrowser(('' + value).trim());
  return written + ':' + (value === 0 || unitlessNumbers.has(name) ? '' + value : value + 'px');
}
