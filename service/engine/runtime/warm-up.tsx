import { Body, Button, Container, Head, Heading, Hr, Html, Link, Preview, Section, Tailwind, Text } from 'react-email';

export const subject = (props: { name: string }) => `Hello ${props.name}`;

export default function WarmUp({ name, items }: { name: string; items: string[] }) {
  return (
    <Html lang="en">
      <Tailwind>
        <Head />
        <Preview>Hello {name}</Preview>
        <Body className="bg-gray-100 font-sans">
          <Container className="mx-auto my-8 max-w-xl rounded-lg bg-white p-8 sm:p-4">
            <Heading className="m-0 text-2xl font-bold text-gray-900">Hello, {name}!</Heading>
            <Section className="my-6 rounded-md border border-solid border-gray-200">
              {items.map((item, index) => <Text key={index} className="text-sm text-gray-600 hover:text-gray-900">{item}</Text>)}
            </Section>
            <Button href="https://example.com" className="rounded bg-blue-600 px-6 py-3 font-semibold text-white">Open</Button>
            <Hr className="my-8 border-gray-200" />
            <Text className="text-xs text-gray-400">Bye, <Link href="https://example.com" className="underline">help</Link></Text>
          </Container>
        </Body>
      </Tailwind>
    </Html>
  );
}
WarmUp.PreviewProps = { name: 'you', items: ['one', 'two', 'three'] };
