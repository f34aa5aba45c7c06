import { Body, Button, Head, Html, Tailwind, Text } from 'react-email';

export default async function AsyncAroundTailwind({ name = 'Ada' }: { name?: string }) {
  const shop = await Promise.resolve({ title: 'Northwind', url: 'https://example.com' });
  return (
    <Html>
      <Tailwind>
        <Head />
        <Body className="bg-gray-100 sm:bg-white">
          <Text className="text-lg text-blue-600">{name}, welcome to {shop.title}</Text>
          <Button href={shop.url} className="rounded bg-blue-600 px-5 py-3 text-white hover:bg-blue-700">Go</Button>
        </Body>
      </Tailwind>
    </Html>
  );
}
