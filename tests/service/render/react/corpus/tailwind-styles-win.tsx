import { Body, Column, Container, Head, Heading, Html, Link, Row, Section, Tailwind, Text } from 'react-email';

export default function TailwindStylesWin() {
  const dynamic = ['p-1', 'p-2'][1];
  return (
    <Html className="bg-red-50">
      <Tailwind>
        <Head />
        <Body className="mx-2 bg-blue-50 p-3" style={{ backgroundColor: 'white', marginLeft: 9 }}>
          <Container className="m-4 p-4" style={{ padding: 1, paddingTop: '2em' }}>
            <Heading m="10px" mx={4} className="m-1 text-xl">Heading</Heading>
            <Section className={`${dynamic} text-left`} style={{ textAlign: 'right' }}><Row className="w-full"><Column className="p-1" style={{ width: 50 }}>c</Column></Row></Section>
            <Text className="mt-2 mb-1 text-sm" style={{ marginTop: 30, lineHeight: 2 }}>text</Text>
            <Link href="https://example.com" className="text-red-500" style={{ color: 'blue' }}>link</Link>
            <table className="w-full border-collapse"><tbody><tr><td className="p-2 border-solid border">plain</td></tr></tbody></table>
          </Container>
        </Body>
      </Tailwind>
    </Html>
  );
}
