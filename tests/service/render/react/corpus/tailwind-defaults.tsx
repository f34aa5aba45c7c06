import { Body, Button, Column, Container, Head, Heading, Hr, Html, Img, Link, Preview, Row, Section, Tailwind, Text } from 'react-email';

export default function TailwindDefaults() {
  return (
    <Html>
      <Tailwind>
        <Head />
        <Preview>Everything by default</Preview>
        <Body className="mx-auto my-0 bg-slate-100 font-sans text-base leading-relaxed">
          <Container className="max-w-2xl rounded-xl border border-solid border-slate-200 bg-white p-6 shadow-lg">
            <Heading as="h2" className="text-center text-3xl font-extrabold tracking-tight text-slate-900">Title</Heading>
            <Section className="mt-4 rounded-lg bg-gradient-to-r from-indigo-500 to-pink-500 p-4">
              <Row>
                <Column className="w-1/3 align-top"><Img src="https://example.com/a.png" width="40" height={40} alt="" className="rounded-full ring-2 ring-white" /></Column>
                <Column className="w-2/3 pl-3"><Text className="m-0 text-white opacity-80">Hello</Text></Column>
              </Row>
            </Section>
            <Text className="line-clamp-2 max-w-prose space-y-2 divide-y truncate uppercase italic line-through">Text</Text>
            <Hr className="my-6 border-0 border-t border-dashed border-slate-300" />
            <Button href="https://example.com" className="inline-block rounded-md bg-blue-600/90 px-4 py-2.5 text-sm font-medium text-white">Go</Button>
            <Link href="https://example.com" className="ml-2 text-blue-600 underline decoration-dotted underline-offset-4">Link</Link>
          </Container>
        </Body>
      </Tailwind>
    </Html>
  );
}
