// Stands in for @react-email/render: what a template may call of it.
import { jsx } from 'react/jsx-runtime';
import { begin, finish, settled } from './fizz.mjs';

function unavailable(name) {
  return () => {
    throw new Error(`${name}() is not available inside a template: Mailboat makes the plain text itself`);
  };
}

/** The HTML of an element, as react-email's own `render` gives it. */
export async function render(node, options) {
  if (options?.plainText || options?.pretty) unavailable('render with plainText or pretty')();
  const request = begin(jsx(() => node, {}));
  await settled(request);
  return finish(request);
}

export const renderAsync = render;
export const pretty = unavailable('pretty');
export const toPlainText = unavailable('toPlainText');
export const unstableToPlainText = unavailable('unstableToPlainText');
export const plainTextSelectors = [];
