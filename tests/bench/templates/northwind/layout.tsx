import type { ReactNode } from 'react';
import { Body, Button, Container, Head, Heading, Hr, Html, Link, Preview, Section, Tailwind, Text } from 'react-email';
import theme from './theme';

interface LayoutProps {
  preview: string;
  shop: string;
  help?: string;
  reason: string;
  children: ReactNode;
}

/** Head, brand, card and footer around a mail. */
export function Layout({ preview, shop, help, reason, children }: LayoutProps) {
  return (
    <Html lang="en">
      <Tailwind config={theme}>
        <Head><meta name="color-scheme" content="light" /></Head>
        <Preview>{preview}</Preview>
        <Body className="m-0 bg-canvas px-3 py-8 font-sans text-ink sm:px-4">
          <Container className="mx-auto max-w-[560px]">
            <Section className="pb-5">
              <Text className="m-0 text-center font-serif text-xl font-bold tracking-wide text-brand">{shop}</Text>
            </Section>
            <Section className="rounded-xl border border-solid border-line bg-white p-8">{children}</Section>
            <Text className="mx-4 mb-0 mt-5 text-center text-xs text-muted">
              {reason}
              {help && <>{' '}<Link href={help} className="text-muted underline">Get help</Link></>}
            </Text>
          </Container>
        </Body>
      </Tailwind>
    </Html>
  );
}

export const Title = ({ children }: { children: ReactNode }) => (
  <Heading as="h1" className="m-0 mb-3 font-serif text-2xl font-bold text-ink">{children}</Heading>
);

export const Words = ({ children }: { children: ReactNode }) => <Text className="m-0 mb-4 text-base text-ink">{children}</Text>;

export const Small = ({ children }: { children: ReactNode }) => <Text className="m-0 text-sm text-muted">{children}</Text>;

export const Rule = () => <Hr className="my-6 border-0 border-t border-solid border-line" />;

export const Action = ({ href, children }: { href: string; children: ReactNode }) => (
  <Button href={href} className="rounded-lg bg-brand px-6 py-3 text-base font-bold text-white">{children}</Button>
);
