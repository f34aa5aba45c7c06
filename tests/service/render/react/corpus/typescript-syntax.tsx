import { Body, Html, Text } from 'react-email';
import type { Anything } from 'some-package-of-types';
import { type Other, OnlyAType } from 'another-package-of-types';

enum Tone { Calm, Loud = 5, Word = 'word' }
const enum Fixed { One = 1 }
abstract class Shape { constructor(protected readonly side: number, public name?: string) {} abstract area(): number; }
class Square extends Shape { override area(): number { return this.side ** 2; } static { Square.made = true; } static made?: boolean; }
declare global { interface Window { x: Anything } }
function overload(a: string): string;
function overload(a: number): string;
function overload(a: unknown): string { return `${a as string}!`; }
const generic = <T,>(value: T): T => value;
const tuple = ['a', 1] as const satisfies readonly [string, number];
type Props = { n?: number; o?: Other | OnlyAType };

export default function TypeScriptSyntax({ n = 1 }: Props) {
  const maybe: { deep?: { er?: string } } | undefined = n > 0 ? { deep: {} } : undefined;
  let label!: string;
  label = maybe?.deep?.er ?? 'none';
  label ||= 'x';
  outer: for (const i of [1, 2]) { for (const j of [1, 2]) { if (i * j === 2) break outer; } }
  return (
    <Html>
      <Body>
        <Text>{Tone.Loud} {Tone[0]} {Fixed.One} {new Square(3).area()} {String(Square.made)} {overload(1)} {generic<string>('g')} {tuple[0]} {label} {1_000}</Text>
      </Body>
    </Html>
  );
}
