import { Html, Text } from 'react-email';
class Cart {
  #items: number[] = [];
  static EMPTY = new Cart();
  static { Cart.EMPTY.add(0); }
  constructor(private readonly owner: string = 'nobody', public tax?: number) {}
  add(n: number): this { this.#items.push(n); return this; }
  get total() { return this.#items.reduce((a, b) => a + b, 0); }
  has(x: object) { return #items in x; }
  toString(): string { return `${this.owner}:${this.total}`; }
}
abstract class Base<T> { abstract get name(): string; declare readonly extra: T; protected hello?(): void; describe(this: Base<T>) { return `I am ${this.name}`; } }
class Sub extends Base<string> { override get name() { return 'sub'; } }
function over(a: string): string; function over(a: number): string; function over(a: unknown) { return String(a); }
let assigned: string | undefined; assigned ??= 'x'; assigned &&= assigned + 'y';
const tuple = [1, 'a'] as const; const big = 10n ** 20n; const re = /(?<year>\d{4})/u.exec('in 2024')!.groups!.year;
label: for (const i of [1, 2, 3]) { for (;;) { if (i === 2) break label; continue label; } }
function assertIsString(v: unknown): asserts v is string { if (typeof v !== 'string') throw new TypeError('x'); }
export default function Mail<T extends { a?: { b?: () => number } }>({ v, ...rest }: { v: T; list: number[] }) {
  const { length, [length - 1]: last } = rest.list as number[] & Record<number, number>;
  assertIsString(assigned);
  return <Html><Text>{new Cart('me', 2).add(1).add(2).toString()} {String(new Cart().has(Cart.EMPTY))} {new Sub().describe()} {over(1)} {assigned} {tuple[1]} {big.toString()} {re} {v?.a?.b?.() ?? 'none'} {last} {rest.list.at(-1)} {Object.groupBy([1,2,3], (n) => n % 2 ? 'odd' : 'even').odd!.join()} {[3,1,2].toSorted().join()} {<b>{(1 as any as string)!}</b>} {`${1_000_000}`}</Text>
  {(() => { switch (rest.list.length) { case 3: { const x = 'three'; return <i>{x}</i>; } default: return null; } })()}
  </Html>;
}
Mail.PreviewProps = { v: {}, list: [1, 2, 3] };
