// Tailwind for templates that are not React: what their classes mean, asked once, when they are compiled.
import { pixelBasedPreset } from 'react-email:tailwind/tailwind';
import { setupTailwind } from 'react-email:tailwind/utils/tailwindcss/setup-tailwind';
import { Setup } from './tailwind.mjs';

const CONFIG = { presets: [pixelBasedPreset] };

/** The request in hand: {classes, strings, setup, error}. */
let held = null;

/** Begins with `{theme, classes, strings}`: CSS for `@theme`, single classes, and whole class attributes. */
export function begin(json) {
  const { theme, classes, strings } = JSON.parse(json);
  const request = { classes, strings, setup: null, error: null };
  setupTailwind({ config: CONFIG, cssConfigs: { theme: theme || undefined } }).then(
    (tailwind) => { request.setup = new Setup(tailwind); },
    (thrown) => { request.error = { thrown }; },
  );
  held = request;
}

/** `{classes, strings, head}` once the microtasks have run, else null: declarations and the classes that stay, and CSS for <head>. */
export function finish() {
  const { classes, strings, setup, error } = held;
  if (error) throw error.thrown;
  if (!setup) return null;
  held = null;
  if (!setup.learn(classes)) throw new Error('more classes than a template may have');
  const known = classes.filter((name) => setup.inlinable.has(name) || setup.nonInlinable.has(name));
  const meanings = (names) => Object.fromEntries(names.map((name) => [name, meaning(setup.resolve(name))]));
  return { classes: meanings(known), strings: meanings(strings), head: setup.head(new Set(known)) };
}

function meaning({ style, className }) {
  return [Object.entries(style).map(([name, value]) => [cssName(name), String(value)]), className ?? ''];
}

/** React's name of a property as CSS has it. */
function cssName(name) {
  if (name.startsWith('--')) return name;
  const kebab = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return kebab.startsWith('ms-') ? `-${kebab}` : kebab;
}
