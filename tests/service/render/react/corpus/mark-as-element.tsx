import { forwardRef } from 'react';
import { Body, Head, Html, Tailwind, markAsElement } from 'react-email';

const Card = forwardRef<HTMLDivElement, { className?: string; style?: React.CSSProperties; children?: React.ReactNode }>(({ className, style, children }, ref) => (
  <div ref={ref} data-class={className ?? 'none'} style={{ ...style, outline: '1px solid' }}>{children}</div>
));
markAsElement(Card);

export default function MarkAsElement() {
  return (
    <Html>
      <Tailwind><Head /><Body><Card className="p-3 text-blue-500 hover:text-red-500"><i className="font-bold">inside</i></Card></Body></Tailwind>
    </Html>
  );
}
