import { Html, Text } from 'react-email';
import { Shapes } from './shared/shapes';

namespace Money {
  export const CURRENCY: string = "EUR";
  const hidden = { a: 1, b: `${CURRENCY}}` };
  export const pairs: Map<string, number> = new Map([['a', 1]]), first = 1, last: number = pairs.size;
  export let limit = 0;
  limit += 2;
  export function format(cents: number): string {
    return `${(cents / 100).toFixed(2)} ${CURRENCY}${hidden.a}${hidden.b}`;
  }
  export async function* stream() {}
  export namespace Inner {
    export const x = 1;
    export type Deep = { y: number };
  }
  export enum Unit { Cent, Euro }
  export abstract class Base { name = 'base'; }
  export interface Row { price: number }
  export namespace Types { export type A = string }
}
declare namespace Ambient { const a: string; }
namespace OnlyTypes { export interface Q { a: string } }
function Card({ children }: { children: string }) {
  return <b title={Card.title}>{children}</b>;
}
namespace Card {
  export const title = 'card';
}
const namespace = { name: 'namespace Fake { export const x = 1; }' };

export default function Mail({ row }: { row: Money.Row; q?: OnlyTypes.Q }) {
  return (
    <Html>
      <Text>namespace Text {'{ export const a = 1; }'} {Money.format(row.price)} {Money.Inner.x} {Money.Unit[1]} {Money.limit} {Money.first + Money.last}</Text>
      <Text>{Object.keys(Money).join()} {typeof Money.stream} {namespace.name} {Shapes.area({ side: 3 })}</Text>
      <Card>x</Card>
    </Html>
  );
}
Mail.PreviewProps = { row: { price: 1234 } };
