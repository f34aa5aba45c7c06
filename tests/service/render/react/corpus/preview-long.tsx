import { Body, Head, Html, Preview } from 'react-email';

export default function PreviewLong() {
  return <Html><Head /><Preview>{'A long preview & text. '.repeat(20)}</Preview><Body>body</Body></Html>;
}
