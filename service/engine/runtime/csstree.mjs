// css-tree without its lexer and the data of MDN: what react-email's Tailwind uses, a fifth of the size.
import walk from '../node_modules/css-tree/lib/walker/index.js';

export { default as parse } from '../node_modules/css-tree/lib/parser/index.js';
export { default as generate } from '../node_modules/css-tree/lib/generator/index.js';
export { List } from '../node_modules/css-tree/lib/utils/List.js';
export { clone } from '../node_modules/css-tree/lib/utils/clone.js';
export * as string from '../node_modules/css-tree/lib/utils/string.js';
export * as ident from '../node_modules/css-tree/lib/utils/ident.js';
export { walk };
export const { find, findLast, findAll } = walk;
