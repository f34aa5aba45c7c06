import { forwardRef, lazy, memo } from 'react';
import { Body, Html, Text } from 'react-email';

const Remembered = memo(function Remembered({ label }: { label: string }) {
  return <Text>{label}</Text>;
});
const Forwarded = forwardRef<HTMLParagraphElement, { label: string }>(({ label }, ref) => <p ref={ref}>{label}</p>);
Forwarded.displayName = 'Forwarded';
const Late = lazy(async () => ({ default: ({ label }: { label: string }) => <b>{label}</b> }));
const both = memo(forwardRef<HTMLElement, { label: string }>(({ label }, ref) => <i ref={ref}>{label}</i>));

export default memo(() => {
  const Both = both;
  return <Html><Body><Remembered label="memo" /><Forwarded label="ref" /><Late label="lazy" /><Both label="both" /></Body></Html>;
});
