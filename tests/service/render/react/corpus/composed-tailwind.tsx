import { Body, Button, Container, Head, Html, Section, Tailwind, Text } from 'react-email';
type Value = string | false | null | undefined | Value[] | Record<string, unknown>;
function clsx(...values: Value[]): string {
  return values.flatMap((v): string[] => !v ? [] : typeof v === 'string' ? [v] : Array.isArray(v) ? [clsx(...v)] : Object.keys(v).filter((k) => v[k])).filter(Boolean).join(' ');
}
const cn = (...v: Value[]) => clsx(v);
const variants = { primary: 'bg-blue-600 text-white', ghost: 'bg-transparent border border-solid border-gray-300 text-gray-900' } as const;
const SIZES = ['p-1', 'p-2', 'p-4'];
function Badge({ tone, children, className }: { tone: keyof typeof variants; children: React.ReactNode; className?: string }) {
  return <Text className={cn('rounded-full px-3 py-1', variants[tone], { 'font-bold': tone === 'primary', underline: false }, className)}>{children}</Text>;
}
export default function Mail({ rows, isUrgent }: { rows: { n: number; tone: keyof typeof variants }[]; isUrgent: boolean }) {
  return (
    <Html><Tailwind><Head /><Body className={isUrgent ? 'bg-red-50' : 'bg-white'}><Container className={['mx-auto', 'max-w-[600px]', isUrgent && 'border-2'].filter(Boolean).join(' ')}>
      {rows.map(({ n, tone }) => <Section key={n} className={`${SIZES[n % 3]} mt-${n} text-[${10 + n}px] sm:p-${n} hover:bg-red-${n}00`}><Badge tone={tone} className={n > 1 ? 'dark:text-white' : undefined}>{n}</Badge></Section>)}
      <Button className={cn(variants.primary, isUrgent ? 'shadow-lg ring-2 ring-red-500' : 'shadow')} href="https://example.com">Go</Button>
      <div className=" "/><div className={undefined} /><div className="  p-2   m-2  " /><p className={'\n  text-sm\n  font-bold\n'}>x</p>
    </Container></Body></Tailwind></Html>
  );
}
Mail.PreviewProps = { isUrgent: true, rows: [{ n: 1, tone: 'primary' }, { n: 2, tone: 'ghost' }, { n: 3, tone: 'primary' }] };
