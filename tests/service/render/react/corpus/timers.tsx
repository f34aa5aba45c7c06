import { Html, Text } from 'react-email';
const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
export default async function Mail({ name }: { name: string }) {
  const order: string[] = [];
  const t = setTimeout(() => order.push('cancelled'), 1);
  clearTimeout(t);
  setTimeout((a: string) => order.push(a), 20, 'twenty');
  setTimeout(() => order.push('five'), 5);
  queueMicrotask(() => order.push('micro'));
  await wait(30);
  return <Html><Text>{name} {order.join()}</Text></Html>;
}
Mail.PreviewProps = { name: 'Ada' };
