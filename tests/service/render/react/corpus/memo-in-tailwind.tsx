import { forwardRef, memo } from 'react';
import { Body, Head, Html, Tailwind } from 'react-email';

const Remembered = memo(({ className, label }: { className?: string; label: string }) => <p className={className}>{label}</p>);
const Forwarded = forwardRef<HTMLParagraphElement, { className?: string; label: string }>(({ label, className }, ref) => (
  <p ref={ref} className={className}>{label}</p>
));

export default function MemoInTailwind() {
  return (
    <Html>
      <Tailwind>
        <Head />
        <Body>
          <Remembered className="text-red-500 underline" label="memo" />
          <Forwarded className="text-green-500 sm:text-lg" label="ref" />
        </Body>
      </Tailwind>
    </Html>
  );
}
