import { Body, Head, Html, Text } from 'react-email';

async function Order({ id }: { id: string }) {
  const total = await Promise.resolve(42);
  const more = await new Promise<number>((resolve) => resolve(total + 1));
  return <Text>Order {id}: {total} and {more}</Text>;
}

export default async function AsyncMail() {
  const greeting = await Promise.resolve('Hello');
  return (
    <Html>
      <Head />
      <Body>
        <Text>{greeting}</Text>
        <Order id="A-1" />
        <Order id="A-2" />
      </Body>
    </Html>
  );
}
