import { Body, Container, Head, Html, Section, Tailwind, Text } from 'react-email';

export default function TailwindArbitrary() {
  return (
    <Html>
      <Tailwind>
        <Head />
        <Body className="bg-[#f6f9fc] text-[13px] leading-[1.7]">
          <Container className="w-[465px] rounded-[10px] border-[3px] border-[rgb(1,2,3)] p-[10px_20px] [mso-padding-alt:0px]">
            <Section className="bg-[url('https://example.com/bg.png')] bg-cover bg-no-repeat">
              <Text className="m-[calc(1rem+2px)] text-[color:oklch(0.7_0.1_200)] tracking-[-0.5px] font-['Open_Sans']">arbitrary</Text>
              <Text className="translate-x-2 rotate-45 scale-50 blur-sm transition-all duration-300">effects</Text>
            </Section>
          </Container>
        </Body>
      </Tailwind>
    </Html>
  );
}
