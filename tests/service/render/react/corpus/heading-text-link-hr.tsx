import { Body, Heading, Hr, Html, Link, Text } from 'react-email';

export default function Words() {
  return (
    <Html>
      <Body>
        <Heading>One</Heading>
        <Heading as="h3" m={4} mt="1px" mb={0} style={{ color: 'red' }}>Three</Heading>
        <Heading as="h6" px={2} my="2">Six</Heading>
        <Text>plain</Text>
        <Text style={{ margin: '0 0 1em', fontSize: 12, lineHeight: '20px' }}>styled</Text>
        <Text style={{ margin: 0, marginTop: 4 }}>margins</Text>
        <Link href="https://example.com">out</Link>
        <Link href="#a" target="_top" style={{ color: 'inherit', textDecorationLine: 'underline' }}>in</Link>
        <Hr style={{ borderColor: '#ccc', margin: '20px 0' }} />
      </Body>
    </Html>
  );
}
