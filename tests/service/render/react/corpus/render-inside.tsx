import { Body, Html, Text, render } from 'react-email';

export default async function RenderInside() {
  const inner = await render(<Text>inner {1}</Text>);
  return <Html><Body><div dangerouslySetInnerHTML={{ __html: inner.replace(/<!DOCTYPE[^>]*>/, '').replaceAll(/<!--.*?-->/g, '') }} /></Body></Html>;
}
