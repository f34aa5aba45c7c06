// Where in its source a place in the code is. sucrase keeps the lines, and the map of the columns is the code's last line.
import { decode } from '@jridgewell/sourcemap-codec';

const MARK = '\n//# columns=';

export const mapped = (code, mappings) => code + MARK + mappings;

/** The column in the source, from 1: of the token that the code at this place was made of. */
export function sourceColumn(code, line, column) {
  const mark = code.lastIndexOf(MARK);
  const segments = mark < 0 ? undefined : decode(code.slice(mark + MARK.length))[line - 1];
  const segment = segments?.findLast(([generated]) => generated < column);
  return segment ? segment[3] + 1 : column;
}
