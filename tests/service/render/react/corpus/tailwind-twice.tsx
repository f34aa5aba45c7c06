import { Body, Head, Html, Section, Tailwind, Text } from 'react-email';

export default function TailwindTwice() {
  return (
    <Html>
      <Head />
      <Body>
        <Tailwind config={{ theme: { extend: { colors: { one: '#111' } } } }}><Section className="p-2 text-one"><Text className="text-two">first</Text></Section></Tailwind>
        <Tailwind config={{ theme: { extend: { colors: { two: '#222' } } } }}><Section className="p-4 text-one"><Text className="text-two">second</Text></Section></Tailwind>
      </Body>
    </Html>
  );
}
