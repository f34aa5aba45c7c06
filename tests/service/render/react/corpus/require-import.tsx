import { Html, Text } from 'react-email';
import legacy = require('./shared/named');
const other = require('./shared/named');
type Opt = { a: number } | { b: string };
const options = { a: 1 } satisfies Opt;
export default function Mail() {
  return <Html><Text>{legacy.name} {other.name} {options.a}</Text></Html>;
}
