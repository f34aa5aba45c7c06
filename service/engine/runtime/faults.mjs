// What went wrong, in the author's terms.
const LONGEST = 500;

/** A fault whose place is known. */
export class Fault extends Error {
  constructor(message, file = '', line = 0, column = 0) {
    super(message);
    Object.assign(this, { file, line, column });
  }
}

/** Message and place of anything that was thrown, the innermost frame in one of these files. */
export function describe(thrown, files, prefix) {
  try {
    if (thrown instanceof Fault) {
      return { message: thrown.message, file: thrown.file, line: thrown.line, column: thrown.column };
    }
    if (!(thrown instanceof Error)) return { message: `threw ${String(thrown).slice(0, LONGEST)}`, file: '', line: 0, column: 0 };
    return { message: text(thrown), ...placeOf(String(thrown.stack), files, prefix) };
  } catch {
    return { message: 'threw something that cannot be described', file: '', line: 0, column: 0 };
  }
}

function text(error) {
  const [name, message] = [String(error.name), String(error.message)];
  if (name === 'RangeError' && message.includes('call stack')) return 'calls itself too deeply';
  return (name === 'Error' ? message || name : `${name}: ${message}`).slice(0, LONGEST);
}

function placeOf(stack, files, prefix) {
  for (const frame of stack.split('\n')) {
    const found = /(?:\(|at |^)(?:async )?([^()]+):(\d+):(\d+)\)?$/.exec(frame);
    if (!found || !files.has(found[1])) continue;
    const [line, column] = [Number(found[2]), Number(found[3])];
    return { file: found[1], line, column: line === 1 ? Math.max(column - prefix, 1) : column };
  }
  return { file: '', line: 0, column: 0 };
}
