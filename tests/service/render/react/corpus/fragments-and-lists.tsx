import { Children, Fragment, cloneElement, createElement, isValidElement } from 'react';
import { Body, Html, Text } from 'react-email';

function* numbers() { yield 1; yield 2; yield 3; }

function Spread({ children }: { children: React.ReactNode }) {
  return <>{Children.map(children, (child, index) => (isValidElement<{ title?: string }>(child) ? cloneElement(child, { title: `n${index}` }) : child))}</>;
}

export default function FragmentsAndLists() {
  const rows = new Map([['a', 1], ['b', 2]]);
  return (
    <Html>
      <Body>
        <Fragment><>{[['x', ['y', ['z']]]]}</></Fragment>
        {Array.from(rows, ([key, value]) => <Fragment key={key}><dt>{key}</dt><dd>{value}</dd></Fragment>)}
        <Spread><p>one</p>two<p>three</p></Spread>
        <ul>{Array.from(numbers()).map((n) => <li key={n}>{n}</li>)}</ul>
        <ul>{new Set(['s', 't'])}</ul>
        {createElement('section', { id: 's', 'aria-label': 'made by hand' }, 'text', createElement(Text, null, 'child'))}
      </Body>
    </Html>
  );
}
