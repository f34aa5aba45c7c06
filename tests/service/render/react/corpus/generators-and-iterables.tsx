import { Html, Tailwind, Head, Text } from 'react-email';
import { Fragment, type ReactNode } from 'react';

function* rows(n: number): Generator<ReactNode> {
  for (let i = 0; i < n; i++) yield <li key={i} className="p-1">{i}</li>;
}
const map = new Map([['a', 1], ['b', 2]]);
const Render = ({ children }: { children: (n: number) => ReactNode }) => <>{[1, 2].map((n) => <Fragment key={n}>{children(n)}</Fragment>)}</>;
const Slot = ({ left, right = null, as: Tag = 'div' }: { left: ReactNode; right?: ReactNode; as?: 'div' | 'span' }) => <Tag>{left}|{right}</Tag>;

export default () => (
  <Html>
    <ul>{[...rows(2)]}</ul>
    <ol>{new Set(['x', 'y'])}</ol>
    <p>{Array.from(map, ([k, v]) => <b key={k}>{k}={v}</b>)}</p>
    <Render>{(n) => <i>{n}</i>}</Render>
    <Slot left={<b>l</b>} right={['r', 0, false]} as="span" />
    <Tailwind>
      <Head />
      <ul>{[...rows(2)]}</ul>
      <Render>{(n) => <Text className="m-0">{n}</Text>}</Render>
      <Slot left={<b className="font-bold">l</b>} />
      {[[['deep', <u key="u" className="underline">u</u>]], null]}
    </Tailwind>
  </Html>
);
