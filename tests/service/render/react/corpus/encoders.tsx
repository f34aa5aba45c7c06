import { Html, Text } from 'react-email';
export default function Mail() {
  const bytes = new TextEncoder().encode('héllo 😀 \ud800');
  const text = new TextDecoder().decode(bytes);
  const clone = structuredClone({ a: new Date(0), m: new Map([['k', [1, 2]]]), n: { deep: [new Set([1])] } });
  return <Html><Text>{Array.from(bytes).join(' ')} {text} {new TextDecoder('utf-8').decode(new Uint8Array([0xff, 65, 0xe2, 0x82]))} {clone.a.toISOString()} {clone.m.get('k')!.join()} {clone.n.deep[0].size} {btoa('abc')} {atob('YWJj')}
   {new TextDecoder().decode(bytes.subarray(0, 5))} {new TextDecoder().decode(bytes.buffer).length} {encodeURIComponent('é/ ')}</Text></Html>;
}
