import { Body, Button, Container, Head, Html, Tailwind, Text } from 'react-email';

export default function TailwindVariants() {
  return (
    <Html>
      <Tailwind>
        <Head><meta name="x" content="y" /></Head>
        <Body className="bg-white dark:bg-black">
          <Container className="p-8 sm:p-4 md:max-w-lg max-sm:hidden">
            <Text className="text-sm hover:text-red-500 focus:underline first:mt-0 sm:text-lg lg:hover:text-blue-500 dark:text-white">variants</Text>
            <Button href="#" className="bg-black px-3 py-2 text-white hover:bg-gray-800 active:bg-gray-900 sm:w-full print:hidden">Button</Button>
            <Text className="[&>b]:text-red-500 before:content-['x'] odd:bg-gray-50 !m-0 -mt-2">arbitrary variants</Text>
          </Container>
        </Body>
      </Tailwind>
    </Html>
  );
}
