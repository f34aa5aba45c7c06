// TextEncoder and TextDecoder, of UTF-8 only.
const LONGEST_CALL = 8192;

export class TextEncoder {
  get encoding() {
    return 'utf-8';
  }

  encode(text = '') {
    return Uint8Array.from(unescape(encodeURIComponent(String(text).toWellFormed())), (octet) => octet.charCodeAt(0));
  }
}

export class TextDecoder {
  #keepsMark;
  #isFatal;

  constructor(label = 'utf-8', { fatal = false, ignoreBOM = false } = {}) {
    if (!/^\s*(?:unicode-1-1-)?utf-?8\s*$/i.test(label)) throw new RangeError(`The encoding '${label}' is not supported: only utf-8 is`);
    [this.#isFatal, this.#keepsMark] = [fatal, ignoreBOM];
  }

  get encoding() {
    return 'utf-8';
  }

  decode(data = new Uint8Array()) {
    const octets = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
    const text = octets.every((octet) => octet < 128) ? fromCodes(octets) : decoded(octets, this.#isFatal);
    return !this.#keepsMark && text.startsWith('\ufeff') ? text.slice(1) : text;
  }
}

function fromCodes(codes) {
  let text = '';
  for (let at = 0; at < codes.length; at += LONGEST_CALL) text += String.fromCodePoint(...codes.slice(at, at + LONGEST_CALL));
  return text;
}

/** What the first octet of a character says: how many follow, its bits, and between what the second one must lie. */
function leading(octet) {
  if (octet < 0x80) return [0, octet, 0x80, 0xbf];
  if (octet >= 0xc2 && octet < 0xe0) return [1, octet & 31, 0x80, 0xbf];
  if (octet >= 0xe0 && octet < 0xf0) return [2, octet & 15, octet === 0xe0 ? 0xa0 : 0x80, octet === 0xed ? 0x9f : 0xbf];
  if (octet >= 0xf0 && octet < 0xf5) return [3, octet & 7, octet === 0xf0 ? 0x90 : 0x80, octet === 0xf4 ? 0x8f : 0xbf];
  return null;
}

function decoded(octets, isFatal) {
  const points = [];
  for (let at = 0; at < octets.length;) {
    const point = character(octets, at);
    if (point.value === null && isFatal) throw new TypeError('The encoded data was not valid for encoding utf-8');
    points.push(point.value ?? 0xfffd);
    at = point.next;
  }
  return fromCodes(points);
}

/** One character; null for octets that are none, and where to go on after the longest beginning of one. */
function character(octets, at) {
  const known = leading(octets[at]);
  let next = at + 1;
  if (known === null) return { value: null, next };
  let [following, value, low, high] = known;
  for (; following > 0; following--, next++) {
    if (!(octets[next] >= low && octets[next] <= high)) return { value: null, next };
    value = (value << 6) | (octets[next] & 63);
    [low, high] = [0x80, 0xbf];
  }
  return { value, next };
}
