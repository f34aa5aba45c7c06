// What the bundled packages expect of a browser and V8 alone has not. Templates see these too.
import URL from 'core-js-pure/actual/url/index.js';
import URLSearchParams from 'core-js-pure/actual/url-search-params/index.js';
import * as timers from './timers.mjs';
import { TextDecoder, TextEncoder } from './utf8.mjs';

const nothing = () => {};
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const VALUES = new Uint8Array(128);
for (let value = 0; value < 64; value++) VALUES[ALPHABET.charCodeAt(value)] = value;

function atob(text) {
  const digits = String(text).replace(/[\s=]+/g, '');
  let binary = '';
  for (let bits = 0, held = 0, at = 0; at < digits.length; at++) {
    held = (held << 6) | VALUES[digits.charCodeAt(at)];
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      binary += String.fromCharCode((held >> bits) & 255);
    }
  }
  return binary;
}

function btoa(binary) {
  let text = '';
  for (let at = 0; at < binary.length; at += 3) {
    const [a, b, c] = [0, 1, 2].map((offset) => binary.charCodeAt(at + offset) || 0);
    text += ALPHABET[a >> 2] + ALPHABET[((a & 3) << 4) | (b >> 4)];
    text += at + 1 < binary.length ? ALPHABET[((b & 15) << 2) | (c >> 6)] : '=';
    text += at + 2 < binary.length ? ALPHABET[c & 63] : '=';
  }
  return text;
}

function structuredClone(value) {
  if (typeof value === 'function') throw new Error('a function cannot be cloned');
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(structuredClone);
  if (value instanceof Date) return new Date(value);
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [structuredClone(key), structuredClone(item)]));
  if (value instanceof Set) return new Set([...value].map(structuredClone));
  return Object.fromEntries(Object.keys(value).map((key) => [key, structuredClone(value[key])]));
}

const console = { log: nothing, warn: nothing, error: nothing, info: nothing, debug: nothing, trace: nothing };
for (const [name, value] of Object.entries({ console, atob, btoa, TextEncoder, TextDecoder, URL, URLSearchParams, structuredClone })) {
  globalThis[name] ??= value;
}
Object.assign(globalThis, timers.globals);
